"""Checks the file's constants without the noise of float32 arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch.nn import functional as F

from export.checks.candidate import (
    SCALES,
    Array,
    Arrays,
    Candidate,
    Finding,
    evaluating,
    find_largest,
    largest_difference,
)
from export.errors import InexactConstantsError
from mnist_sample import contract
from mnist_sample.sampler import MAX_TRUNCATION

ROWS = 16
PART = 64
"""Rows computed at a time."""
AWAKE = 3.0
"""Factor for latents that wake units which a class keeps asleep but for one digit in hundreds."""
TRIALS = 3
"""Copies with constants moved at random within their rounding."""
MARGIN = 4.0
"""How much further off than those copies the file may be; sound files were seen at 0.2 to 1.2."""


def check_exact(candidate: Candidate) -> Finding:
    """The graph, computed in float64, is as close to PyTorch in float64 as its rounded constants allow.

    In float32 the arithmetic itself is off by several times what a slightly wrong weight changes. In
    float64 only the rounding of the constants to float32 is left, and how much that makes is found by
    moving each constant at random by up to half of its last place. For latents `s` times as large the
    same rounding makes at most `s` times as much, or what is found there.

    Where the last node clips, the same is asked of what it clips: the corners of a digit are paper whatever
    their weights are, but for one digit in thousands. There `ROWS` digits of each class are looked at, with
    wide latents, since a weight of the embedding decides nothing but in a digit of its class.

    Raises:
        InexactConstantsError: says how far off the file is, and how far it may be.
    """
    found, noise = _compare_all(candidate, candidate.model)
    unclipped = _without_last_clip(candidate.model)
    if unclipped is not None:
        _compare_all(candidate, unclipped, clip=False)
    text = f"sample differs by {found:.1e}; rounding its constants explains {noise:.1e}"
    return Finding("float64", text, {"in-float64": found})


def _without_last_clip(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """Return a copy whose `sample` is what its last node would clip; None where that is no clip."""
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    for node in copied.graph.node:
        if node.op_type == "Clip" and contract.OUTPUT_SAMPLE in node.output:
            node.op_type = "Identity"
            del node.input[1:]
            return copied
    return None


def _compare_all(candidate: Candidate, model: onnx.ModelProto, clip: bool = True) -> tuple[float, float]:
    """Return how far `sample` is off on the usual latents, and what rounding the constants makes there."""
    evaluators = _evaluators(candidate, model)
    classes = candidate.checkpoint.config.classes
    rows = max(ROWS, classes)
    usual = candidate.draw(rows, candidate.seed)
    noise = _measure_noise(evaluators, usual)
    found = _compare(candidate, evaluators, usual, 1.0, noise, clip)
    draws = [(rows, scale) for scale in (1.0, *SCALES)]
    if classes and not clip:
        draws.append((ROWS * classes, AWAKE))
    for n, scale in draws:
        inputs = candidate.draw(n, candidate.fresh_seed, scale)
        _compare(candidate, evaluators, inputs, scale, noise, clip)
    _compare(candidate, evaluators, candidate.draw_first(ROWS), 1.0, noise, clip)
    truncated = candidate.draw_truncated(ROWS, candidate.fresh_seed)
    _compare(candidate, evaluators, truncated, MAX_TRUNCATION, noise, clip)
    return found, noise


def _measure_noise(evaluators: list[ReferenceEvaluator], inputs: Arrays) -> float:
    """Return what rounding the constants makes of `sample`."""
    noise = 0.0
    for some in _part(inputs):
        exact, *moved = (_run(evaluator, some) for evaluator in evaluators)
        noise = find_largest([noise, *(largest_difference(sample, exact) for sample in moved)])
    return noise


def _part(inputs: Arrays) -> Iterator[Arrays]:
    """Yield the inputs a few rows at a time: in NumPy a convolution of all could take gigabytes."""
    for start in range(0, len(inputs[contract.INPUT_LATENT]), PART):
        yield {name: rows[start : start + PART] for name, rows in inputs.items()}


def _compare(
    candidate: Candidate,
    evaluators: list[ReferenceEvaluator],
    inputs: Arrays,
    scale: float,
    noise: float,
    clip: bool,
) -> float:
    difference = find_largest(
        largest_difference(_run(evaluators[0], some), candidate.run_torch(some, torch.float64, clip))
        for some in _part(inputs)
    )
    allowed = MARGIN * noise * max(scale, 1.0)
    if not difference <= allowed:
        # Where usual latents leave a layer dead, or saturate the last one, they show little of the rounding.
        allowed = max(allowed, MARGIN * _measure_noise(evaluators, inputs))
    if not difference <= allowed:
        raise InexactConstantsError(
            f"computed in float64 sample{'' if clip else ' before it is clipped'} differs "
            f"by {difference:.1e} from PyTorch, latents times {scale:g}; "
            f"{allowed:.1e} is {MARGIN:g} times what rounding its constants explains.\n"
            "A weight or a constant of the file is not the checkpoint's."
        )
    return difference


def _evaluators(candidate: Candidate, model: onnx.ModelProto) -> list[ReferenceEvaluator]:
    """Return the graph in float64 with its own constants, and with moved ones `TRIALS` times."""
    random = np.random.default_rng(candidate.seed)
    with evaluating(InexactConstantsError, "the graph cannot be read in float64"):
        models = [_in_float64(model, moved) for moved in (None, *(random,) * TRIALS)]
        return [ReferenceEvaluator(double, new_ops=[ConvTranspose]) for double in models]


def _in_float64(model: onnx.ModelProto, random: np.random.Generator | None) -> onnx.ModelProto:
    """Return a copy in float64, its constants moved within their rounding if `random` is given."""
    double = onnx.ModelProto()
    double.CopyFrom(model)
    for tensor in double.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            single = numpy_helper.to_array(tensor)
            value = single.astype(np.float64)
            if random is not None:
                value += np.spacing(np.abs(single)) * random.uniform(-0.5, 0.5, single.shape)
            tensor.CopyFrom(numpy_helper.from_array(np.asarray(value), tensor.name))
    for value_info in (*double.graph.input, *double.graph.output):
        kind = value_info.type.tensor_type
        if kind.elem_type == TensorProto.FLOAT:
            kind.elem_type = TensorProto.DOUBLE
    return double


def _run(evaluator: ReferenceEvaluator, inputs: Arrays) -> Array:
    latent = inputs[contract.INPUT_LATENT].astype(np.float64)
    with (
        evaluating(InexactConstantsError, "the graph fails in float64"),
        np.errstate(all="ignore"),  # whatever NumPy would warn of, the comparison tells
    ):
        outputs: Any = evaluator.run([contract.OUTPUT_SAMPLE], {**inputs, contract.INPUT_LATENT: latent})
    return np.asarray(outputs[0])


class ConvTranspose(OpRun):
    """ONNX's own takes half a second for a row of the tutorial's generator."""

    op_domain = ""

    def _run(
        self,
        x: Array,
        weight: Array,
        bias: Array | None = None,
        **attributes: Any,  # noqa: ANN401
    ) -> tuple[Array]:
        """Return the transposed convolution; padding is what is cut off the full one."""
        top, left, bottom, right = attributes["pads"] or (0, 0, 0, 0)
        full = F.conv_transpose2d(
            torch.tensor(x),
            torch.tensor(weight),  # a copy: constants are read-only
            None if bias is None else torch.tensor(bias),
            stride=attributes["strides"] or 1,
            output_padding=attributes["output_padding"] or 0,
            groups=attributes["group"] or 1,
            dilation=attributes["dilations"] or 1,
        )
        height, width = full.shape[2:]
        return (full[:, :, top : height - bottom, left : width - right].numpy(),)
