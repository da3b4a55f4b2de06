"""Checks that `image` is the rounded `sample`, for every grey level."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx

from export.checks.candidate import Array, Candidate, Finding, open_session
from export.errors import GreyScaleError
from mnist_sample import contract
from mnist_sample.errors import ProviderError
from mnist_sample.text import first_line

PIXELS = contract.IMAGE_SIZE**2
ROWS = 64
TAIL = ["Mul", "Add", "Round", "Squeeze", "Cast"]
"""What `export.convert.ContractModule` becomes behind `sample`."""


def check_grey_scale(candidate: Candidate) -> Finding:
    """`image` is `round(127.5 * sample + 127.5)`, on digits and on a ramp around each change of level.

    Digits seldom fall beside a change of grey level. So the part of the graph behind `sample` also runs
    alone, on the float32 numbers next to all 255 changes: another rounding mode or constant shows there.

    Raises:
        GreyScaleError: counts the pixels that differ.
    """
    image, sample = candidate.run(candidate.draw(ROWS, candidate.fresh_seed))
    compare_grey("digits", image, sample)
    ramp = ramp_samples()
    compare_grey("a grey ramp", _run_tail(candidate, ramp), ramp)
    return Finding("grey scale", f"image is the rounded sample in {image.size + ramp.size} pixels")


def round_to_grey(sample: Array) -> Array:
    """Return uint8 `[batch, 28, 28]` for float32 `[batch, 1, 28, 28]`, as the contract defines it."""
    grey = np.rint(np.float32(127.5) * sample + np.float32(127.5))
    image: Array = np.clip(grey, 0, 255).astype(np.uint8)[:, 0]
    return image


def ramp_samples() -> Array:
    """Return float32 `[batch, 1, 28, 28]` in [-1, 1]: each level, each change of level, and neighbours."""
    steps = ((np.arange(511) / 2 - 127.5) / 127.5).astype(np.float32)
    around = [steps]
    for _ in range(2):
        around = [
            np.nextafter(around[0], np.float32(-2)), *around, np.nextafter(around[-1], np.float32(2))
        ]  # fmt: skip
    values = np.clip(np.concatenate(around), -1, 1)
    return np.resize(values, (-(-values.size // PIXELS), 1, contract.IMAGE_SIZE, contract.IMAGE_SIZE))


def _run_tail(candidate: Candidate, sample: Array) -> Array:
    """Run what lies between `sample` and `image` alone."""
    try:
        tail = onnx.utils.Extractor(candidate.model).extract_model(
            [contract.OUTPUT_SAMPLE], [contract.OUTPUT_IMAGE]
        )
        _check_tail(tail.graph)
        session = open_session(tail.SerializeToString(), candidate.provider)
        image = cast(Array, session.run(None, {contract.OUTPUT_SAMPLE: sample})[0])
    except (GreyScaleError, ProviderError):
        raise
    except Exception as error:  # onnxruntime's errors share no base class
        raise GreyScaleError(f"image is not made of sample alone: {first_line(error)}") from error
    return image


def _check_tail(graph: onnx.GraphProto) -> None:
    """Refuse a tail that could treat one pixel otherwise than another, or look at several for one."""
    steps = [node.op_type for node in graph.node]
    one_for_all = all(int(np.prod(tensor.dims)) == 1 for tensor in graph.initializer)
    if steps != TAIL or not one_for_all:
        raise GreyScaleError(f"image is not made of sample by {', '.join(TAIL)} with a number each: {steps}")


def compare_grey(what: str, image: Array, sample: Array) -> None:
    """Raise GreyScaleError, and count the pixels of `what`, where `image` is not the rounded `sample`."""
    wrong = image != round_to_grey(sample)
    if wrong.any():
        raise GreyScaleError(
            "image is not round(127.5 * sample + 127.5): "
            f"{int(wrong.sum())} of {wrong.size} pixels of {what} differ"
        )
