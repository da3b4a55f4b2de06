"""Wrong numbers: every constant of the graph, changed in every way of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import onnx
from onnx import numpy_helper

from tests.export.mutants.edits import Array, Mutant, read_constant, write_constant

Change = Callable[[Array], Array]


def at_largest(change: Change) -> Change:
    """Return a change of only the element of largest magnitude."""

    def apply(array: Array) -> Array:
        place = np.abs(array).argmax()
        array.flat[place] = change(array.flat[place : place + 1])[0]
        return array

    return apply


def flip_bit(array: Array) -> Array:
    """Flip the fourth bit of each fraction: about 6 % of the value, as a bad memory cell would."""
    return (array.view(np.uint32) ^ np.uint32(1 << 19)).view(np.float32)


def swap(axis: int) -> Change:
    return lambda array: np.take(array, [1, 0, *range(2, array.shape[axis])], axis)


def at_median(change: Change) -> Change:
    """Return a change of only the element of median magnitude."""

    def apply(array: Array) -> Array:
        place = np.abs(array).argsort(axis=None)[array.size // 2]
        array.flat[place] = change(array.flat[place : place + 1])[0]
        return array

    return apply


def shorten(array: Array) -> Array:
    """Keep 16 of a fraction's 23 bits: half a thousandth of a per cent off."""
    return (array.view(np.uint32) & np.uint32(0xFFFFFF80)).view(np.float32)


ANY: dict[str, tuple[str, Change]] = {
    "one weight off by 1 %": ("a perturbed weight", at_largest(lambda x: x * np.float32(1.01))),
    "one weight off by 0.1 %": ("a perturbed weight", at_largest(lambda x: x * np.float32(1.001))),
    "a usual weight off by 0.1 %": ("a perturbed weight", at_median(lambda x: x * np.float32(1.001))),
    "one weight of the other sign": ("a perturbed weight", at_largest(lambda x: -x)),
    "one weight zero": ("a perturbed weight", at_largest(lambda x: x * 0)),
    "one bit flipped": ("a perturbed weight", at_largest(flip_bit)),
    "one weight NaN": ("a weight that is no number", at_largest(lambda x: x * np.float32("nan"))),
    "one weight infinite": ("a weight that is no number", at_largest(lambda x: x * np.float32("inf"))),
    "all off by 0.1 %": ("weights scaled", lambda x: x * np.float32(1.001)),
    "all off by half of BatchNorm's epsilon": ("weights scaled", lambda x: x * np.float32(1 + 5e-6)),
    "all negated": ("weights scaled", lambda x: -x),
    "all zero": ("weights scaled", lambda x: x * 0),
    "all shifted by 0.001": ("weights shifted", lambda x: x + np.float32(1e-3)),
    "rounded to half precision": ("weights rounded", lambda x: x.astype(np.float16).astype(np.float32)),
    "rounded to 16 bits of fraction": ("weights rounded", shorten),
    "two entries of the first axis swapped": ("swapped channels", swap(0)),
    "order of the first axis reversed": ("swapped channels", lambda x: x[::-1]),
}
MATRIX: dict[str, tuple[str, Change]] = {
    "two entries of the second axis swapped": ("swapped channels", swap(1)),
    "read in the other memory order": (
        "transposed weights",
        lambda x: x.swapaxes(0, 1).reshape(x.shape),
    ),
}
KERNEL: dict[str, tuple[str, Change]] = {
    "kernels transposed": ("transposed weights", lambda x: x.swapaxes(2, 3)),
    "kernels turned by 180 degrees": ("transposed weights", lambda x: x[:, :, ::-1, ::-1]),
}
SCALAR: dict[str, tuple[str, Change]] = {
    f"grey-scale constant {text}": ("a wrong grey scale", change)
    for text, change in {
        "off by one": lambda x: x + np.float32(1),
        "off by minus one": lambda x: x - np.float32(1),
        "off by a half": lambda x: x + np.float32(0.5),
        "off by a hundredth": lambda x: x + np.float32(0.01),
        "of the next float32": lambda x: np.nextafter(x, np.float32(1e9)),
        "doubled": lambda x: x * np.float32(2),
        "negated": lambda x: -x,
    }.items()
}
SHAPE: dict[str, tuple[str, Change]] = {
    "batch of 1 baked in": ("a baked batch", lambda x: np.where(x == -1, 1, x)),
    "batch of 2 baked in": ("a baked batch", lambda x: np.where(x == -1, 2, x)),
    "batch of 3 baked in": ("a baked batch", lambda x: np.where(x == -1, 3, x)),
    "order reversed": ("a wrong shape constant", lambda x: x[::-1]),
    "last entry one more": ("a wrong shape constant", at_largest(lambda x: x + 1)),
    "last entry one less": ("a wrong shape constant", at_largest(lambda x: x - 1)),
}


def make_mutants(model: onnx.ModelProto) -> Iterator[Mutant]:
    """Yield every change of every constant that leaves its shape as it was and changes its value."""
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if value.dtype != np.float32:
            changes = SHAPE
        elif value.ndim == 0:
            changes = SCALAR
        else:
            changes = ANY | (MATRIX if value.ndim > 1 else {}) | (KERNEL if value.ndim == 4 else {})
        for name, (group, change) in changes.items():
            yield from _make(model, tensor.name, name, group, change)


def _make(model: onnx.ModelProto, constant: str, name: str, group: str, change: Change) -> Iterator[Mutant]:
    before = read_constant(model, constant)
    if any(size < 2 for size in before.shape[:1]) and "axis" in name:
        return
    try:
        after = np.asarray(change(before.copy()), before.dtype, order="C")
    except IndexError:
        return  # an axis without two entries to swap
    if after.tobytes() != before.tobytes():
        yield Mutant(group, f"{constant}: {name}", lambda model: write_constant(model, constant, after))
