"""Turns a checkpoint into an ONNX model: folded, cleaned of what the exporter leaves, and annotated."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from export.errors import BatchStatisticsError
from export.fold import fold
from export.merge import merge_rows
from export.traced import batch_axes
from mnist_sample import __version__, contract
from mnist_sample.modelfile import seal
from models.checkpoint import Checkpoint

EXAMPLE_BATCH = 3
"""Two or more, since torch.export takes a dimension of 1 for a constant."""
EXPORTING_PACKAGES = ("torch", "onnx", "onnxscript")


class ContractModule(nn.Module):
    """A generator with the outputs of the contract: `image` and `sample`."""

    def __init__(self, generator: nn.Module) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return `image` uint8 `[batch, 28, 28]` and `sample` float32 `[batch, 1, 28, 28]`."""
        sample = self.generator(*inputs)
        return torch.round(127.5 * sample + 127.5).squeeze(1).to(torch.uint8), sample


def build_graph(checkpoint: Checkpoint, generator: nn.Module, opset: int) -> onnx.ModelProto:
    """Return the folded and cleaned model, still without metadata.

    Raises:
        BatchStatisticsError: a layer of `generator` is in training mode.
    """
    for name, module in generator.named_modules():
        if module.training:
            raise BatchStatisticsError(
                f"layer {name or 'generator'} is in training mode: its result would depend on the batch; "
                "call eval() on the generator first"
            )
    example = example_inputs(checkpoint)
    with _quiet():
        folded = fold(generator, example)
        merge_rows(folded)
        model = _run_exporter(folded, example, opset)
    return _clean(model)


def count_operations(checkpoint: Checkpoint, generator: nn.Module) -> int:
    """Return how many operations of PyTorch the contract's outputs take as the generator stands."""
    example = example_inputs(checkpoint)
    with _quiet():
        traced = torch.export.export(
            ContractModule(generator), example, dynamic_shapes=(batch_axes(example),)
        )
    return sum(node.op == "call_function" for node in traced.graph.nodes)


def example_inputs(checkpoint: Checkpoint) -> tuple[Tensor, ...]:
    """Return inputs to trace with: their values do not matter."""
    latent = torch.zeros(EXAMPLE_BATCH, checkpoint.config.latent_dim)
    label = torch.zeros(EXAMPLE_BATCH, dtype=torch.int64)
    return (latent, label) if checkpoint.config.classes else (latent,)


def describe(checkpoint: Checkpoint, sha256: str, verification: Mapping[str, float]) -> dict[str, str]:
    """Return the file's metadata, but for its digest.

    Args:
        checkpoint: what is exported.
        sha256: of the checkpoint's bytes.
        verification: check -> measured difference.
    """
    return {
        contract.KEY_CONTRACT: str(contract.CONTRACT_VERSION),
        contract.KEY_ARCHITECTURE: checkpoint.architecture,
        contract.KEY_LATENT_DIM: str(checkpoint.config.latent_dim),
        contract.KEY_CLASSES: encode_json(list(checkpoint.class_names)),
        contract.KEY_TRAINING: encode_json(checkpoint.training),
        contract.KEY_CHECKPOINT_SHA256: sha256,
        contract.KEY_VERSIONS: encode_json(exporting_versions()),
        contract.KEY_VERIFICATION: encode_json(dict(verification)),
        contract.KEY_EVALUATION: encode_json(checkpoint.evaluation),
    }


def exporting_versions() -> dict[str, str]:
    """Return the versions that shape the file: with the same ones, the same checkpoint gives the same."""
    return {"mnist-sample": __version__} | {name: version(name) for name in EXPORTING_PACKAGES}


def encode_json(value: object) -> str:
    """Return the one JSON text that stands for `value` in a file."""
    return json.dumps(value, sort_keys=True, allow_nan=False)


def annotate(model: onnx.ModelProto, metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of the file: `model` with `metadata` and the digest of the whole."""
    annotated = onnx.ModelProto()
    annotated.CopyFrom(model)
    entries = {**metadata, contract.KEY_FILE_SHA256: contract.DIGEST_PLACEHOLDER}
    onnx.helper.set_model_props(annotated, entries)
    return seal(annotated.SerializeToString(deterministic=True))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's chatter from the user: what it warns of is checked by `export.checks`."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            for logger in loggers:
                logger.setLevel(logging.ERROR)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _run_exporter(generator: nn.Module, example: tuple[Tensor, ...], opset: int) -> onnx.ModelProto:
    """Run torch.export's ONNX exporter with a symbolic batch."""
    program = torch.onnx.export(
        ContractModule(generator),
        example,
        dynamo=True,
        external_data=False,
        opset_version=opset,
        input_names=[contract.INPUT_LATENT, contract.INPUT_LABEL][: len(example)],
        output_names=[contract.OUTPUT_IMAGE, contract.OUTPUT_SAMPLE],
        dynamic_shapes=(batch_axes(example),),
        verbose=False,
    )
    assert program is not None
    return program.model_proto


def _clean(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes and spelt-out defaults, and name everything by its place in the graph."""
    graph = model.graph
    names = _stable_names(graph)
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    first = _share(constants)
    names |= {name: names[first[name]] for name in constants}
    cleaned = onnx.ModelProto(ir_version=model.ir_version, producer_name="mnist-sample")
    cleaned.producer_version = __version__
    cleaned.opset_import.extend(model.opset_import)
    cleaned.graph.name = "generator"
    for node in graph.node:
        kept = cleaned.graph.node.add(op_type=node.op_type, domain=node.domain, name=names[node.output[0]])
        kept.input.extend(names[name] for name in node.input)
        kept.output.extend(names[name] for name in node.output)
        kept.attribute.extend(_needed_attributes(node, model.opset_import[0].version, constants))
    for name in sorted(set(first.values()), key=names.__getitem__):
        cleaned.graph.initializer.append(onnx.numpy_helper.from_array(constants[name], names[name]))
    for old, new in ((graph.input, cleaned.graph.input), (graph.output, cleaned.graph.output)):
        for value in old:
            kind = value.type.tensor_type
            shape = [dim.dim_value or contract.BATCH_AXIS for dim in kind.shape.dim]
            new.append(onnx.helper.make_tensor_value_info(value.name, kind.elem_type, shape))
    return cleaned


def _share(constants: Mapping[str, NDArray[Any]]) -> dict[str, str]:
    """Map each constant's name to that of the first one that is equal to it."""
    first: dict[tuple[str, tuple[int, ...], bytes], str] = {}
    return {
        name: first.setdefault((value.dtype.str, value.shape, value.tobytes()), name)
        for name, value in constants.items()
    }


def _needed_attributes(
    node: onnx.NodeProto, opset: int, constants: Mapping[str, NDArray[Any]]
) -> list[onnx.AttributeProto]:
    """Return the attributes that differ from the operator's defaults, in the order of their names."""
    attributes = onnx.defs.get_schema(node.op_type, opset, node.domain).attributes
    idle = {name: attribute.default_value for name, attribute in attributes.items()}
    if node.op_type == "Reshape" and 0 not in constants.get(node.input[1], ()):
        idle["allowzero"] = onnx.helper.make_attribute("allowzero", 1)  # says how to read zeros, without any
    return sorted((a for a in node.attribute if a != idle[a.name]), key=lambda attribute: attribute.name)


def _stable_names(graph: onnx.GraphProto) -> dict[str, str]:
    """Map each value's name to `<operator>_<place>`, and a constant's to that of its first user."""
    fixed = {value.name for value in (*graph.input, *graph.output)}
    names = {name: name for name in fixed} | {"": ""}
    for place, node in enumerate(graph.node):
        step = f"{node.op_type.lower()}_{place}"
        for position, name in enumerate(node.input):
            names.setdefault(name, f"{step}.{position}")
        for position, name in enumerate(node.output):
            names.setdefault(name, step if position == 0 else f"{step}:{position}")
    return names
