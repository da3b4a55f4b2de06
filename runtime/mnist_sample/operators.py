"""How an operator's output follows from its inputs, for those that a generator may use.

From the operators' definitions (https://onnx.ai/onnx/operators/), with every attribute within bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from mnist_sample.onnxschema import FLOAT, INT64, UINT8

MAX_NODES: Final = 1000
"""Of a graph, and so inputs of one node."""
_MAX_WINDOW: Final = 64
"""For kernel sizes, strides, dilations, paddings and block sizes: no 28 x 28 picture needs more."""
_CHANNEL_BLOCK: Final = 16
"""As many as onnxruntime computes together on AVX-512; 8 elsewhere."""

Dims = tuple[int, ...]


class GraphError(ValueError):
    """The graph is not one that the sampler runs."""


class Tensor(NamedTuple):
    """A tensor's element type and shape.

    Attributes:
        kind: element type.
        dims: shape.
        ints: the values of a small constant.
        span: the least and the greatest value of a constant of whole numbers, and of the labels.
    """

    kind: int
    dims: Dims
    ints: Dims | None = None
    span: tuple[int, int] | None = None

    @property
    def elements(self) -> int:
        """How many values it holds."""
        return math.prod(self.dims)


@dataclass
class Node:
    """A node with its inputs resolved; `None` stands for an input left out.

    Attributes:
        multiplies: multiplications that it makes.
        scratch: values that it holds beside its output.
    """

    op: str
    inputs: list[Tensor | None]
    attributes: dict[str, Any]
    multiplies: int = 0
    scratch: int = 0

    def input(self, at: int) -> Tensor:
        """Return an input that has to be there.

        Raises:
            GraphError: it is not.
        """
        tensor = self.inputs[at] if at < len(self.inputs) else None
        if tensor is None:
            raise GraphError("an input is missing")
        return tensor


def require(holds: object, problem: str) -> None:
    """Raise GraphError with the problem unless the condition holds."""
    if not holds:
        raise GraphError(problem)


def _within(values: Iterable[int], low: int, high: int, name: str) -> None:
    require(all(low <= value <= high for value in values), f"{name} is out of bounds")


def find_axis(value: int, rank: int) -> int:
    """Return an axis counted from the front, where ONNX may count it from the end.

    Raises:
        GraphError: a tensor of this rank has no such axis.
    """
    require(-rank <= value < rank, f"axis {value} does not exist")
    return value % rank


def _same(node: Node) -> Tensor:
    x = node.input(0)
    return Tensor(x.kind, x.dims)


def _clip(node: Node) -> Tensor:
    for bound in node.inputs[1:]:
        require(bound is None or bound.dims == (), "a bound is no scalar")
    return _same(node)


def _broadcast(node: Node) -> Tensor:
    a, b = node.input(0), node.input(1)
    rank = max(len(a.dims), len(b.dims))
    dims = []
    for i, j in zip((1,) * (rank - len(a.dims)) + a.dims, (1,) * (rank - len(b.dims)) + b.dims, strict=True):
        require(i == j or 1 in (i, j), f"shapes {a.dims} and {b.dims} do not fit")
        dims.append(max(i, j))
    require(a.kind == b.kind, "element types differ")
    return Tensor(a.kind, tuple(dims))


def _cast(node: Node) -> Tensor:
    kind = int(node.attributes.get("to", 0))
    require(kind in (FLOAT, UINT8), "unknown element type")
    # What a cast makes of numbers beyond 255 is not the same everywhere: nothing may depend on it.
    require(node.input(0).kind != UINT8, "pixels are cast once")
    return Tensor(kind, node.input(0).dims)


def _concat(node: Node) -> Tensor:
    first = node.input(0)
    axis = find_axis(node.attributes.get("axis", 0), len(first.dims))
    total = 0
    for at in range(len(node.inputs)):
        x = node.input(at)
        require(x.kind == first.kind, "element types differ")
        require(len(x.dims) == len(first.dims), "ranks differ")
        require(
            x.dims[:axis] + x.dims[axis + 1 :] == first.dims[:axis] + first.dims[axis + 1 :], "shapes differ"
        )
        total += x.dims[axis]
    return Tensor(first.kind, (*first.dims[:axis], total, *first.dims[axis + 1 :]))


def _window(node: Node, x: Tensor, weight: Tensor) -> tuple[Dims, Dims, Dims, int]:
    """Return strides, pads, dilations and group of a convolution, checked."""
    require(len(x.dims) == len(weight.dims) == 4, "not a 2-D convolution")
    require(x.kind == weight.kind == FLOAT, "not of float32")
    require(node.attributes.get("auto_pad", "NOTSET") == "NOTSET", "auto_pad is not supported")
    kernel = weight.dims[2:]
    _within(kernel, 1, _MAX_WINDOW, "kernel_shape")
    require(
        tuple(node.attributes.get("kernel_shape", kernel)) == kernel, "kernel_shape differs from the weight"
    )
    strides, pads, dilations = (
        tuple(node.attributes.get(name, default))
        for name, default in (("strides", (1, 1)), ("pads", (0,) * 4), ("dilations", (1, 1)))
    )
    require((len(strides), len(pads), len(dilations)) == (2, 4, 2), "an attribute has the wrong length")
    _within(strides, 1, _MAX_WINDOW, "strides")
    _within(pads, 0, _MAX_WINDOW, "pads")
    _within(dilations, 1, _MAX_WINDOW, "dilations")
    group = node.attributes.get("group", 1)
    require(group >= 1 and x.dims[1] % group == 0 and weight.dims[0] % group == 0, "group does not fit")
    return strides, pads, dilations, group


def _check_bias(node: Node, channels: int) -> None:
    if len(node.inputs) == 3 and node.inputs[2] is not None:
        require(node.inputs[2].dims == (channels,), "the bias does not fit")


def _conv(node: Node) -> Tensor:
    x, weight = node.input(0), node.input(1)
    strides, pads, dilations, group = _window(node, x, weight)
    require(weight.dims[1] * group == x.dims[1], "channels do not fit")
    _check_bias(node, weight.dims[0])
    size = tuple(
        (x.dims[2 + i] + pads[i] + pads[2 + i] - dilations[i] * (weight.dims[2 + i] - 1) - 1) // strides[i]
        + 1
        for i in range(2)
    )
    out = Tensor(x.kind, (x.dims[0], weight.dims[0], *size))
    node.multiplies = out.elements * math.prod(weight.dims[1:])
    # onnxruntime computes channels in blocks, and holds those that fill the last one up.
    node.scratch = out.elements // weight.dims[0] * (-weight.dims[0] % _CHANNEL_BLOCK)
    return out


def _conv_transpose(node: Node) -> Tensor:
    x, weight = node.input(0), node.input(1)
    strides, pads, dilations, group = _window(node, x, weight)
    require(weight.dims[0] == x.dims[1], "channels do not fit")
    channels = weight.dims[1] * group
    _check_bias(node, channels)
    extra = tuple(node.attributes.get("output_padding", (0, 0)))
    require(len(extra) == 2, "an attribute has the wrong length")
    require(
        # ONNX allows more, below the dilations, and onnxruntime before 1.28 reads past its memory there.
        all(0 <= extra[i] < strides[i] for i in range(2)),
        "output_padding is out of bounds",
    )
    size = tuple(
        strides[i] * (x.dims[2 + i] - 1)
        + extra[i]
        + dilations[i] * (weight.dims[2 + i] - 1)
        + 1
        - pads[i]
        - pads[2 + i]
        for i in range(2)
    )
    node.multiplies = x.elements * math.prod(weight.dims[1:])
    node.scratch = node.multiplies // x.dims[1]  # a window of output values for each input pixel
    return Tensor(x.kind, (x.dims[0], channels, *size))


def _depth_to_space(node: Node) -> Tensor:
    x, block = node.input(0), node.attributes.get("blocksize", 0)
    _within([block], 1, _MAX_WINDOW, "blocksize")
    require(len(x.dims) == 4 and x.dims[1] % block**2 == 0, "channels do not fit the block size")
    require(node.attributes.get("mode", "DCR") in ("DCR", "CRD"), "unknown mode")
    return Tensor(x.kind, (x.dims[0], x.dims[1] // block**2, x.dims[2] * block, x.dims[3] * block))


def _gather(node: Node) -> Tensor:
    data, indices = node.input(0), node.input(1)
    axis = find_axis(node.attributes.get("axis", 0), len(data.dims))
    require(indices.kind == INT64, "indices are not int64")
    # CUDA makes zeros of what is out of range. Only labels and constants are known to be within one.
    require(indices.span is not None, "indices are computed")
    assert indices.span is not None
    _within(indices.span, -data.dims[axis], data.dims[axis] - 1, "an index")
    return Tensor(data.kind, data.dims[:axis] + indices.dims + data.dims[axis + 1 :])


def _product(node: Node, a: Dims, b: Dims) -> Tensor:
    require(a[1] == b[0], f"shapes {a} and {b} do not fit")
    # Whole numbers would take a hundred times as long.
    require(all(node.input(at).kind == FLOAT for at in range(2)), "not of float32")
    node.multiplies = a[0] * a[1] * b[1]
    return Tensor(node.input(0).kind, (a[0], b[1]))


def _matmul(node: Node) -> Tensor:
    a, b = node.input(0).dims, node.input(1).dims
    require(len(a) == len(b) == 2, "not a product of two matrices")
    return _product(node, a, b)


def _gemm(node: Node) -> Tensor:
    a, b = node.input(0).dims, node.input(1).dims
    require(len(a) == len(b) == 2, "not a product of two matrices")
    out = _product(
        node,
        a[::-1] if node.attributes.get("transA", 0) else a,
        b[::-1] if node.attributes.get("transB", 0) else b,
    )
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        require(node.inputs[2].dims in ((out.dims[1],), (1, out.dims[1]), out.dims), "the bias does not fit")
    return out


def _read_vector(node: Node) -> Dims | None:
    """Return the whole numbers of a constant second input, if they are a vector."""
    constant = node.input(1)
    return constant.ints if len(constant.dims) == 1 else None


def _reshape(node: Node) -> Tensor:
    x, wanted = node.input(0), _read_vector(node)
    require(wanted is not None and node.attributes.get("allowzero", 0) == 0, "the shape is not constant")
    assert wanted is not None
    require(wanted.count(-1) <= 1 and all(value >= -1 for value in wanted), "the shape makes no sense")
    require(all(value or at < len(x.dims) for at, value in enumerate(wanted)), "the shape makes no sense")
    dims = [value or x.dims[at] for at, value in enumerate(wanted)]
    if -1 in dims:
        dims[dims.index(-1)] = x.elements // -math.prod(dims)
    require(math.prod(dims) == x.elements, f"{x.dims} does not reshape to {wanted}")
    return Tensor(x.kind, tuple(dims))


def _axes(node: Node, rank: int) -> set[int]:
    axes = _read_vector(node)
    require(axes, "the axes are not constant")
    assert axes is not None
    found = {find_axis(value, rank) for value in axes}
    require(len(found) == len(axes), "an axis is named twice")
    return found


def _squeeze(node: Node) -> Tensor:
    x = node.input(0)
    axes = _axes(node, len(x.dims))
    require(all(x.dims[axis] == 1 for axis in axes), "a squeezed axis is longer than 1")
    return Tensor(x.kind, tuple(size for axis, size in enumerate(x.dims) if axis not in axes))


def _unsqueeze(node: Node) -> Tensor:
    x = node.input(0)
    rank = len(x.dims) + len(node.input(1).ints or ())
    axes = _axes(node, rank)
    sizes = iter(x.dims)
    return Tensor(x.kind, tuple(1 if axis in axes else next(sizes) for axis in range(rank)))


def _transpose(node: Node) -> Tensor:
    x = node.input(0)
    order = tuple(node.attributes.get("perm", range(len(x.dims))[::-1]))
    require(sorted(order) == list(range(len(x.dims))), "perm is no permutation")
    return Tensor(x.kind, tuple(x.dims[axis] for axis in order))


class Rule(NamedTuple):
    """How an operator's output follows from its inputs, and the attributes it may carry."""

    shape: Callable[[Node], Tensor]
    inputs: int
    attributes: frozenset[str] = frozenset()


def _rule(shape: Callable[[Node], Tensor], inputs: int, attributes: str = "") -> Rule:
    return Rule(shape, inputs, frozenset(attributes.split()))


_CONV: Final = "auto_pad dilations group kernel_shape pads strides"
RULES: Final = {
    "Add": _rule(_broadcast, 2),
    "Cast": _rule(_cast, 1, "to saturate"),
    "Clip": _rule(_clip, 3),
    "Concat": _rule(_concat, MAX_NODES, "axis"),
    "Conv": _rule(_conv, 3, _CONV),
    "ConvTranspose": _rule(_conv_transpose, 3, _CONV + " output_padding"),
    "DepthToSpace": _rule(_depth_to_space, 1, "blocksize mode"),
    "Gather": _rule(_gather, 2, "axis"),
    "Gemm": _rule(_gemm, 3, "alpha beta transA transB"),
    "LeakyRelu": _rule(_same, 1, "alpha"),
    "MatMul": _rule(_matmul, 2),
    "Mul": _rule(_broadcast, 2),
    "Relu": _rule(_same, 1),
    "Reshape": _rule(_reshape, 2, "allowzero"),
    "Round": _rule(_same, 1),
    "Squeeze": _rule(_squeeze, 2),
    "Tanh": _rule(_same, 1),
    "Transpose": _rule(_transpose, 1, "perm"),
    "Unsqueeze": _rule(_unsqueeze, 2),
}

_FLOATS: Final = frozenset({"alpha", "beta"})
_TEXTS: Final = frozenset({"auto_pad", "mode"})
_INT_LISTS: Final = frozenset({"dilations", "kernel_shape", "output_padding", "pads", "perm", "strides"})


def read_attributes(node: dict[str, Any], allowed: frozenset[str]) -> dict[str, Any]:
    """Return a decoded node's attributes by name.

    Raises:
        GraphError: one is not allowed, is there twice or is of the wrong type.
    """
    attributes: dict[str, Any] = {}
    for attribute in node["attributes"]:
        name = attribute.get("name", "")
        require(name in allowed and name not in attributes, f"unexpected attribute {name!r}")
        # AttributeProto.type, the field that holds the value, and what protobuf leaves out as the default.
        kind, held, default = (
            (1, "f", 0.0)
            if name in _FLOATS
            else (3, "s", "")
            if name in _TEXTS
            else (7, "ints", [])
            if name in _INT_LISTS
            else (2, "i", 0)
        )
        require(attribute.get("type", 0) == kind, f"attribute {name!r} has the wrong type")
        attributes[name] = attribute.get(held, default)
        require(kind != 1 or math.isfinite(attributes[name]), f"attribute {name!r} is not finite")
    return attributes
