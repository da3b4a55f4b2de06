"""Checks of the graph as it is written, before anything is run."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, numpy_helper

from export.checks.candidate import Candidate, Finding
from export.errors import (
    BakedBatchError,
    BatchMateError,
    BatchStatisticsError,
    ContractError,
    ExternalDataError,
    InvalidGraphError,
    LeanError,
    OperatorError,
    UnsupportedVersionError,
)
from mnist_sample import contract
from mnist_sample.text import first_line

MAX_OPSET = 22
"""The newest opset that onnxruntime 1.22, the oldest that pyproject.toml allows, runs."""
MIN_OPSET = contract.OPSET
SLACK_BYTES = 16 * 1024
"""What a file may hold beside its weights and its metadata: names, nodes and shapes."""
TRIAL_BATCHES = (5, 11)
"""Batch sizes that are no other dimension's divisor by accident."""
MAX_NAME = 100
"""Characters: messages tell names, which a stranger may have chosen."""
RANDOM_OR_REDUCING = ("Random", "Reduce")
BATCH_STATISTICS = frozenset(
    {"Bernoulli", "CumSum", "Dropout", "MeanVarianceNormalization", "Multinomial", "GlobalAveragePool"}
)

PAIRS = ("Cast", "Relu", "Reshape", "Transpose")
"""Operators of which two in a row could be one or none."""
NEUTRAL = {"Add": 0.0, "Mul": 1.0}

Signature = tuple[str, int, tuple[int | str, ...]]
"""Of an input or output: its name, element type, and shape without the batch."""


def check_batch_statistics(candidate: Candidate) -> Finding:
    """Evaluation mode on both sides: no layer in training mode, no operator that looks across the batch.

    Raises:
        BatchStatisticsError: names the layer or the operator.
    """
    for name, module in candidate.generator.named_modules():
        if module.training:
            raise BatchStatisticsError(f"layer {name or 'generator'} is in training mode")
    for node in candidate.model.graph.node:
        training = any(attribute.name == "training_mode" and attribute.i for attribute in node.attribute)
        if training or node.op_type in BATCH_STATISTICS or node.op_type.startswith(RANDOM_OR_REDUCING):
            raise BatchStatisticsError(
                f"operator {node.op_type} ({node.name}) depends on batch statistics or on chance"
            )
    return Finding("evaluation mode", "no layer in training mode, no operator that depends on its batch")


def check_graph(candidate: Candidate) -> Finding:
    """`onnx.checker` with the full check, and strict shape inference.

    Raises:
        ExternalDataError: see `check_external_data`.
        InvalidGraphError: with the first line of what ONNX says; or a name is not short printable text.
    """
    _refuse_external_data(candidate.model.graph)  # onnx.checker would open the files that it names
    _refuse_strange_names(candidate.model.graph)
    try:
        onnx.checker.check_model(candidate.model, full_check=True)
        onnx.shape_inference.infer_shapes(candidate.model, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError) as error:
        raise InvalidGraphError(f"the graph is not valid ONNX: {first_line(error)}") from error
    nodes, weights = candidate.model.graph.node, candidate.model.graph.initializer
    return Finding("onnx.checker", f"valid in full, {len(nodes)} nodes, {len(weights)} constants")


def _refuse_strange_names(graph: onnx.GraphProto) -> None:
    names = [name for node in graph.node for name in (node.name, *node.output)]
    names += [tensor.name for tensor in graph.initializer]
    if not all(len(name) <= MAX_NAME and name.isprintable() for name in names):
        raise InvalidGraphError("a name in the graph is not short printable text")


def check_versions(candidate: Candidate) -> Finding:
    """Opset and IR version that the oldest supported onnxruntime runs.

    Raises:
        UnsupportedVersionError: names the version and the range.
    """
    model = candidate.model
    opsets = [entry.version for entry in model.opset_import if not entry.domain]
    if len(opsets) != 1:
        raise UnsupportedVersionError(f"the file names {len(opsets)} opsets of the standard domain, not one")
    opset = opsets[0]
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise UnsupportedVersionError(f"opset {opset} is not one of {MIN_OPSET} to {MAX_OPSET}")
    if model.ir_version > contract.MAX_IR_VERSION:
        raise UnsupportedVersionError(
            f"IR version {model.ir_version} is newer than {contract.MAX_IR_VERSION}, "
            "the newest that the oldest supported onnxruntime loads"
        )
    least = onnx.helper.find_min_ir_version_for([entry for entry in model.opset_import if not entry.domain])
    if model.ir_version < least:
        raise UnsupportedVersionError(f"IR version {model.ir_version} is older than opset {opset}: {least}")
    return Finding("versions", f"opset {opset}, IR {model.ir_version}")


def check_contract(candidate: Candidate) -> Finding:
    """Names, types and shapes of inputs and outputs, in order, each input in use.

    Raises:
        ContractError: names what differs.
    """
    config = candidate.checkpoint.config
    side = contract.IMAGE_SIZE
    inputs: list[Signature] = [(contract.INPUT_LATENT, TensorProto.FLOAT, (config.latent_dim,))]
    if config.classes:
        inputs.append((contract.INPUT_LABEL, TensorProto.INT64, ()))
    outputs: list[Signature] = [
        (contract.OUTPUT_IMAGE, TensorProto.UINT8, (side, side)),
        (contract.OUTPUT_SAMPLE, TensorProto.FLOAT, (1, side, side)),
    ]
    graph = candidate.model.graph
    for kind, want, have in (("inputs", inputs, graph.input), ("outputs", outputs, graph.output)):
        found: list[Signature] = [
            (value.name, value.type.tensor_type.elem_type, tuple(_dimensions(value))[1:]) for value in have
        ]
        if found != want:
            raise ContractError(f"the {kind} are {_spell(found)}; the contract wants {_spell(want)}")
    used = {name for node in graph.node for name in node.input}
    for name, *_ in inputs:
        if name not in used:
            raise ContractError(f"input {name} is not used by the graph")
    return Finding("contract", f"{_spell(inputs)} to {_spell(outputs)}")


def _spell(values: list[Signature]) -> str:
    return ", ".join(
        f"{name} {TensorProto.DataType.Name(kind).lower()}[{', '.join(('batch', *map(str, shape)))}]"
        for name, kind, shape in values
    )


def _dimensions(value: onnx.ValueInfoProto) -> Iterator[int | str]:
    for dim in value.type.tensor_type.shape.dim:
        yield dim.dim_value if dim.HasField("dim_value") else dim.dim_param


def check_batch_axis(candidate: Candidate) -> Finding:
    """`batch` symbolic on every input and output, and no constant that fixed it inside the graph.

    The shapes of all values are worked out for two batch sizes: each value that depends on an input must
    begin with that size. No batch size may appear in a file by chance, so a fixed one cannot pass both.

    It also keeps the rows of a batch apart. Of the operators that a file may hold, those that look across
    rows move the batch from the front or make pairs of samples; all but Gather, which picks rows by an input
    and has as many afterwards. `mnist_sample` refuses all of them, too.

    Raises:
        BakedBatchError: names the value.
        BatchMateError: names the node.
    """
    graph = candidate.model.graph
    for value in (*graph.input, *graph.output):
        dimensions = list(_dimensions(value))
        if not dimensions or dimensions[0] != contract.BATCH_AXIS or contract.BATCH_AXIS in dimensions[1:]:
            raise BakedBatchError(f"the first axis of {value.name} is {dimensions[:1]}, not symbolic `batch`")
    dependent = _dependent_values(graph)
    made = [name for node in graph.node for name in node.output if name in dependent]
    for batch in TRIAL_BATCHES:
        shapes = _infer_with_batch(candidate.model, batch)
        for name in made:
            dimensions = shapes.get(name, [])
            if not dimensions or dimensions[0] != batch:
                raise BakedBatchError(
                    f"{name} has the shape {dimensions} at batch {batch}: a size is baked in"
                )
    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in dependent and not _picks_within_rows(node):
            raise BatchMateError(f"node {node.name} may take a row of the batch for another")
    return Finding("batch axis", f"symbolic on all inputs and outputs, {len(dependent)} values follow it")


def _dependent_values(graph: onnx.GraphProto) -> set[str]:
    """Return the names of all values that depend on an input."""
    dependent = {value.name for value in graph.input}
    for node in graph.node:
        if dependent.intersection(node.input):
            dependent.update(node.output)
    return dependent


def _picks_within_rows(gather: onnx.NodeProto) -> bool:
    return any(attribute.name == "axis" and attribute.i > 0 for attribute in gather.attribute)


def _infer_with_batch(model: onnx.ModelProto, batch: int) -> dict[str, list[int | str]]:
    """Return every value's shape when the inputs have `batch` rows."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    del fixed.graph.value_info[:]
    for value in fixed.graph.input:
        value.type.tensor_type.shape.dim[0].dim_value = batch
    for value in fixed.graph.output:
        value.type.tensor_type.shape.dim[0].ClearField("value")
    try:
        inferred = onnx.shape_inference.infer_shapes(fixed, strict_mode=True, data_prop=True).graph
    except (onnx.shape_inference.InferenceError, ValueError) as error:
        raise BakedBatchError(f"the shapes do not fit at batch {batch}: {first_line(error)}") from error
    return {value.name: list(_dimensions(value)) for value in (*inferred.value_info, *inferred.output)}


def check_external_data(candidate: Candidate) -> Finding:
    """All tensors lie in the file itself.

    Raises:
        ExternalDataError: names the tensor.
    """
    _refuse_external_data(candidate.model.graph)
    return Finding("external data", "none")


def _refuse_external_data(graph: onnx.GraphProto) -> None:
    attached = [attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t")]
    for tensor in (*graph.initializer, *attached):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise ExternalDataError(f"{tensor.name} lies in another file")
    if graph.sparse_initializer:
        raise ExternalDataError("sparse constants are not part of the contract")


def check_operators(candidate: Candidate) -> Finding:
    """Only standard-domain operators that both the CPU and the CUDA provider implement, none of them dilated.

    Raises:
        OperatorError: names the operator, the node or the domain.
    """
    model = candidate.model
    for entry in model.opset_import:
        if entry.domain:
            raise OperatorError(f"the file needs the operator domain {entry.domain}")
    if model.functions:
        raise OperatorError("the file defines functions of its own")
    for node in model.graph.node:
        if node.domain or node.op_type not in contract.OPERATORS:
            name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            raise OperatorError(f"operator {name} is not one that every supported provider implements")
        if any(attribute.name == "dilations" and set(attribute.ints) != {1} for attribute in node.attribute):
            # ONNX's reference evaluator would fill the gaps of such a kernel with zeros, whatever its size.
            raise OperatorError(f"node {node.name} is dilated, which no generator here is")
    kinds = sorted({node.op_type for node in model.graph.node})
    return Finding("operators", f"{len(kinds)} kinds, all of CPU and CUDA: {', '.join(kinds)}")


def check_lean(candidate: Candidate) -> Finding:
    """No node without effect, no pair that cancels, no constant unused or kept twice, no bytes beside them.

    A node of which only the weights decide that it has none, such as a product with ones, may stand. What is
    there is written as shortly as protobuf can.

    Raises:
        LeanError: names the node or counts the bytes.
    """
    graph = candidate.model.graph
    if candidate.content != candidate.model.SerializeToString(deterministic=True):
        raise LeanError("the file's bytes are not the plain form of what they say")
    batch, config = TRIAL_BATCHES[0], candidate.checkpoint.config
    shapes = _infer_with_batch(candidate.model, batch)
    shapes |= {contract.INPUT_LATENT: [batch, config.latent_dim], contract.INPUT_LABEL: [batch]}
    makers = {name: node for node in graph.node for name in node.output}
    scalars = {t.name: numpy_helper.to_array(t).item() for t in graph.initializer if not t.dims}
    wanted = {value.name for value in graph.output} | {name for node in graph.node for name in node.input}
    for node in graph.node:
        before = makers.get(node.input[0]) if node.input else None
        if node.op_type == "Identity" or not wanted.intersection(node.output):
            raise LeanError(f"node {node.name} has no effect")
        if _is_idle(node, before, shapes):
            raise LeanError(f"node {node.name} ({node.op_type}) has no effect")
        if node.op_type in PAIRS and before and before.op_type == node.op_type:
            raise LeanError(f"nodes {before.name} and {node.name} could be one or none")
        if node.op_type in NEUTRAL and NEUTRAL[node.op_type] in [scalars.get(name) for name in node.input]:
            raise LeanError(
                f"node {node.name} has no effect: it takes {node.op_type} with a neutral constant"
            )
    contents = [(tensor.data_type, tuple(tensor.dims), tensor.raw_data) for tensor in graph.initializer]
    for tensor, content in zip(graph.initializer, contents, strict=True):
        if tensor.name not in wanted or contents.count(content) > 1:
            raise LeanError(f"constant {tensor.name} is unused or kept twice")
    metadata = sum(entry.ByteSize() for entry in candidate.model.metadata_props)
    extra = len(candidate.content) - sum(len(tensor.raw_data) for tensor in graph.initializer) - metadata
    if extra > SLACK_BYTES:
        raise LeanError(f"{extra} bytes are neither weights nor metadata")
    return Finding("lean", f"{len(graph.node)} nodes, {extra} bytes beside weights and metadata")


def _is_idle(node: onnx.NodeProto, before: onnx.NodeProto | None, shapes: dict[str, list[int | str]]) -> bool:
    """Tell whether a node passes its input on, whatever that is and whatever the weights are."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    after_relu = before is not None and before.op_type == "Relu"
    match node.op_type:
        case "Transpose":
            return "perm" in attributes and attributes["perm"] == sorted(attributes["perm"])
        case "Concat":
            return len(node.input) == 1
        case "Clip":
            return not any(node.input[1:])
        case "DepthToSpace":
            return bool(attributes["blocksize"] == 1)
        case "LeakyRelu":
            return after_relu or attributes.get("alpha") == 1
        case "Reshape" | "Squeeze" | "Unsqueeze":
            return node.input[0] in shapes and shapes[node.input[0]] == shapes.get(node.output[0])
    return False
