"""What a graph would make of a batch, worked out before onnxruntime sees it.

A file that is well formed can still ask for terabytes, divide by zero in a kernel or never end. Every node's
output shape follows here from the operator's definition (https://onnx.ai/onnx/operators/), every attribute is
within bounds, and the sums stay below what a generator of 28 x 28 pictures could need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from mnist_sample import contract
from mnist_sample.onnxschema import FLOAT, INT64, UINT8

MAX_NODES: Final = 1000
MAX_ELEMENTS_PER_SAMPLE: Final = 2**21
"""Values in all tensors together; the built-in architectures stay below a tenth."""
MAX_MULTIPLIES_PER_SAMPLE: Final = 2**30
_MAX_RANK: Final = 6
_MAX_WINDOW: Final = 64
"""For kernel sizes, strides, dilations, paddings and block sizes: no 28 x 28 picture needs more."""
_CHANNEL_BLOCK: Final = 16
"""As many as onnxruntime computes together on AVX-512; 8 elsewhere."""
_ELEMENT_BYTES: Final = {FLOAT: 4, INT64: 8, UINT8: 1}
_BATCHES: Final = (2, 3, 5)
"""Shapes are worked out for each: one that fits only by chance, or has a fixed batch, fails for some."""

Dims = tuple[int, ...]


class GraphError(ValueError):
    """The graph is not one that the sampler runs."""


class Cost(NamedTuple):
    """What a node takes, or a graph for each sample: values of four bytes held, and multiplications made."""

    elements: int
    multiplies: int


class _Tensor(NamedTuple):
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
        return math.prod(self.dims)


@dataclass
class _Node:
    """A node with its inputs resolved; `None` stands for an input left out.

    Attributes:
        multiplies: multiplications that it makes.
        scratch: values that it holds beside its output.
    """

    op: str
    inputs: list[_Tensor | None]
    attributes: dict[str, Any]
    multiplies: int = 0
    scratch: int = 0

    def input(self, at: int) -> _Tensor:
        tensor = self.inputs[at] if at < len(self.inputs) else None
        if tensor is None:
            raise GraphError("an input is missing")
        return tensor


def _require(holds: object, problem: str) -> None:
    if not holds:
        raise GraphError(problem)


def _within(values: Iterable[int], low: int, high: int, name: str) -> None:
    _require(all(low <= value <= high for value in values), f"{name} is out of bounds")


def _axis(value: int, rank: int) -> int:
    _require(-rank <= value < rank, f"axis {value} does not exist")
    return value % rank


def _same(node: _Node) -> _Tensor:
    x = node.input(0)
    return _Tensor(x.kind, x.dims)


def _clip(node: _Node) -> _Tensor:
    for bound in node.inputs[1:]:
        _require(bound is None or bound.dims == (), "a bound is no scalar")
    return _same(node)


def _broadcast(node: _Node) -> _Tensor:
    a, b = node.input(0), node.input(1)
    rank = max(len(a.dims), len(b.dims))
    dims = []
    for i, j in zip((1,) * (rank - len(a.dims)) + a.dims, (1,) * (rank - len(b.dims)) + b.dims, strict=True):
        _require(i == j or 1 in (i, j), f"shapes {a.dims} and {b.dims} do not fit")
        dims.append(max(i, j))
    _require(a.kind == b.kind, "element types differ")
    return _Tensor(a.kind, tuple(dims))


def _cast(node: _Node) -> _Tensor:
    kind = int(node.attributes.get("to", 0))
    _require(kind in (FLOAT, UINT8), "unknown element type")
    # What a cast makes of numbers beyond 255 is not the same everywhere: nothing may depend on it.
    _require(node.input(0).kind != UINT8, "pixels are cast once")
    return _Tensor(kind, node.input(0).dims)


def _concat(node: _Node) -> _Tensor:
    first = node.input(0)
    axis = _axis(node.attributes.get("axis", 0), len(first.dims))
    total = 0
    for at in range(len(node.inputs)):
        x = node.input(at)
        _require(x.kind == first.kind, "element types differ")
        _require(len(x.dims) == len(first.dims), "ranks differ")
        _require(
            x.dims[:axis] + x.dims[axis + 1 :] == first.dims[:axis] + first.dims[axis + 1 :], "shapes differ"
        )
        total += x.dims[axis]
    return _Tensor(first.kind, (*first.dims[:axis], total, *first.dims[axis + 1 :]))


def _window(node: _Node, x: _Tensor, weight: _Tensor) -> tuple[Dims, Dims, Dims, int]:
    """Return strides, pads, dilations and group of a convolution, checked."""
    _require(len(x.dims) == len(weight.dims) == 4, "not a 2-D convolution")
    _require(x.kind == weight.kind == FLOAT, "not of float32")
    _require(node.attributes.get("auto_pad", "NOTSET") == "NOTSET", "auto_pad is not supported")
    kernel = weight.dims[2:]
    _within(kernel, 1, _MAX_WINDOW, "kernel_shape")
    _require(
        tuple(node.attributes.get("kernel_shape", kernel)) == kernel, "kernel_shape differs from the weight"
    )
    strides, pads, dilations = (
        tuple(node.attributes.get(name, default))
        for name, default in (("strides", (1, 1)), ("pads", (0,) * 4), ("dilations", (1, 1)))
    )
    _require((len(strides), len(pads), len(dilations)) == (2, 4, 2), "an attribute has the wrong length")
    _within(strides, 1, _MAX_WINDOW, "strides")
    _within(pads, 0, _MAX_WINDOW, "pads")
    _within(dilations, 1, _MAX_WINDOW, "dilations")
    group = node.attributes.get("group", 1)
    _require(group >= 1 and x.dims[1] % group == 0 and weight.dims[0] % group == 0, "group does not fit")
    return strides, pads, dilations, group


def _check_bias(node: _Node, channels: int) -> None:
    if len(node.inputs) == 3 and node.inputs[2] is not None:
        _require(node.inputs[2].dims == (channels,), "the bias does not fit")


def _conv(node: _Node) -> _Tensor:
    x, weight = node.input(0), node.input(1)
    strides, pads, dilations, group = _window(node, x, weight)
    _require(weight.dims[1] * group == x.dims[1], "channels do not fit")
    _check_bias(node, weight.dims[0])
    size = tuple(
        (x.dims[2 + i] + pads[i] + pads[2 + i] - dilations[i] * (weight.dims[2 + i] - 1) - 1) // strides[i]
        + 1
        for i in range(2)
    )
    out = _Tensor(x.kind, (x.dims[0], weight.dims[0], *size))
    node.multiplies = out.elements * math.prod(weight.dims[1:])
    # onnxruntime computes channels in blocks, and holds those that fill the last one up.
    node.scratch = out.elements // weight.dims[0] * (-weight.dims[0] % _CHANNEL_BLOCK)
    return out


def _conv_transpose(node: _Node) -> _Tensor:
    x, weight = node.input(0), node.input(1)
    strides, pads, dilations, group = _window(node, x, weight)
    _require(weight.dims[0] == x.dims[1], "channels do not fit")
    channels = weight.dims[1] * group
    _check_bias(node, channels)
    extra = tuple(node.attributes.get("output_padding", (0, 0)))
    _require(len(extra) == 2, "an attribute has the wrong length")
    _require(
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
    return _Tensor(x.kind, (x.dims[0], channels, *size))


def _depth_to_space(node: _Node) -> _Tensor:
    x, block = node.input(0), node.attributes.get("blocksize", 0)
    _within([block], 1, _MAX_WINDOW, "blocksize")
    _require(len(x.dims) == 4 and x.dims[1] % block**2 == 0, "channels do not fit the block size")
    _require(node.attributes.get("mode", "DCR") in ("DCR", "CRD"), "unknown mode")
    return _Tensor(x.kind, (x.dims[0], x.dims[1] // block**2, x.dims[2] * block, x.dims[3] * block))


def _gather(node: _Node) -> _Tensor:
    data, indices = node.input(0), node.input(1)
    axis = _axis(node.attributes.get("axis", 0), len(data.dims))
    _require(indices.kind == INT64, "indices are not int64")
    # CUDA makes zeros of what is out of range.
    _within(indices.span or (), -data.dims[axis], data.dims[axis] - 1, "an index")
    return _Tensor(data.kind, data.dims[:axis] + indices.dims + data.dims[axis + 1 :])


def _product(node: _Node, a: Dims, b: Dims) -> _Tensor:
    _require(a[1] == b[0], f"shapes {a} and {b} do not fit")
    # Whole numbers would take a hundred times as long.
    _require(all(node.input(at).kind == FLOAT for at in range(2)), "not of float32")
    node.multiplies = a[0] * a[1] * b[1]
    return _Tensor(node.input(0).kind, (a[0], b[1]))


def _matmul(node: _Node) -> _Tensor:
    a, b = node.input(0).dims, node.input(1).dims
    _require(len(a) == len(b) == 2, "not a product of two matrices")
    return _product(node, a, b)


def _gemm(node: _Node) -> _Tensor:
    a, b = node.input(0).dims, node.input(1).dims
    _require(len(a) == len(b) == 2, "not a product of two matrices")
    out = _product(
        node,
        a[::-1] if node.attributes.get("transA", 0) else a,
        b[::-1] if node.attributes.get("transB", 0) else b,
    )
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        _require(node.inputs[2].dims in ((out.dims[1],), (1, out.dims[1]), out.dims), "the bias does not fit")
    return out


def _read_vector(node: _Node) -> Dims | None:
    """Return the whole numbers of a constant second input, if they are a vector."""
    constant = node.input(1)
    return constant.ints if len(constant.dims) == 1 else None


def _reshape(node: _Node) -> _Tensor:
    x, wanted = node.input(0), _read_vector(node)
    _require(wanted is not None and node.attributes.get("allowzero", 0) == 0, "the shape is not constant")
    assert wanted is not None
    _require(wanted.count(-1) <= 1 and all(value >= -1 for value in wanted), "the shape makes no sense")
    _require(all(value or at < len(x.dims) for at, value in enumerate(wanted)), "the shape makes no sense")
    dims = [value or x.dims[at] for at, value in enumerate(wanted)]
    if -1 in dims:
        dims[dims.index(-1)] = x.elements // -math.prod(dims)
    _require(math.prod(dims) == x.elements, f"{x.dims} does not reshape to {wanted}")
    return _Tensor(x.kind, tuple(dims))


def _axes(node: _Node, rank: int) -> set[int]:
    axes = _read_vector(node)
    _require(axes, "the axes are not constant")
    assert axes is not None
    found = {_axis(value, rank) for value in axes}
    _require(len(found) == len(axes), "an axis is named twice")
    return found


def _squeeze(node: _Node) -> _Tensor:
    x = node.input(0)
    axes = _axes(node, len(x.dims))
    _require(all(x.dims[axis] == 1 for axis in axes), "a squeezed axis is longer than 1")
    return _Tensor(x.kind, tuple(size for axis, size in enumerate(x.dims) if axis not in axes))


def _unsqueeze(node: _Node) -> _Tensor:
    x = node.input(0)
    rank = len(x.dims) + len(node.input(1).ints or ())
    axes = _axes(node, rank)
    sizes = iter(x.dims)
    return _Tensor(x.kind, tuple(1 if axis in axes else next(sizes) for axis in range(rank)))


def _transpose(node: _Node) -> _Tensor:
    x = node.input(0)
    order = tuple(node.attributes.get("perm", range(len(x.dims))[::-1]))
    _require(sorted(order) == list(range(len(x.dims))), "perm is no permutation")
    return _Tensor(x.kind, tuple(x.dims[axis] for axis in order))


class _Rule(NamedTuple):
    """How an operator's output follows from its inputs, and the attributes it may carry."""

    shape: Callable[[_Node], _Tensor]
    inputs: int
    attributes: frozenset[str] = frozenset()


def _rule(shape: Callable[[_Node], _Tensor], inputs: int, attributes: str = "") -> _Rule:
    return _Rule(shape, inputs, frozenset(attributes.split()))


_CONV: Final = "auto_pad dilations group kernel_shape pads strides"
_RULES: Final = {
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


def _read_attributes(node: dict[str, Any], allowed: frozenset[str]) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for attribute in node["attributes"]:
        name = attribute.get("name", "")
        _require(name in allowed and name not in attributes, f"unexpected attribute {name!r}")
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
        _require(attribute.get("type", 0) == kind, f"attribute {name!r} has the wrong type")
        attributes[name] = attribute.get(held, default)
    return attributes


def _read_constant(tensor: dict[str, Any]) -> _Tensor:
    kind, dims = tensor.get("data_type", 0), tuple(tensor["dims"])
    _require(not tensor["external"] and tensor.get("data_location", 0) == 0, "it keeps data in other files")
    _require(kind in _ELEMENT_BYTES, f"a constant has element type {kind}")
    _require(
        len(dims) <= _MAX_RANK and all(0 < size <= contract.MAX_FILE_BYTES for size in dims),
        f"a constant has shape {dims}",
    )
    raw = tensor.get("raw_data", b"")
    _require(len(raw) == math.prod(dims) * _ELEMENT_BYTES[kind], "a constant's size and shape differ")
    if kind == FLOAT:
        _require(np.isfinite(np.frombuffer(raw, "<f4")).all(), "a constant is not finite")
    if kind != INT64:
        return _Tensor(kind, dims)
    values = np.frombuffer(raw, "<i8")
    small = values.size <= _MAX_RANK and len(dims) <= 1
    return _Tensor(
        kind, dims, tuple(values.tolist()) if small else None, (int(values.min()), int(values.max()))
    )


def _read_value(value: dict[str, Any]) -> tuple[int, list[int | str]]:
    """Return a declared value's element type and shape, a symbolic size as its name."""
    tensor = value.get("type", {}).get("tensor", {})
    _require("shape" in tensor, f"{value.get('name', '')!r} has no shape")
    return tensor.get("elem_type", 0), [
        dim.get("value", dim.get("param", "")) for dim in tensor["shape"]["dims"]
    ]


def _check_interface(graph: dict[str, Any], latent_dim: int, conditional: bool) -> None:
    batch, size = contract.BATCH_AXIS, contract.IMAGE_SIZE
    inputs: dict[str, Any] = {contract.INPUT_LATENT: (FLOAT, [batch, latent_dim])}
    if conditional:
        inputs[contract.INPUT_LABEL] = (INT64, [batch])
    outputs = {
        contract.OUTPUT_IMAGE: (UINT8, [batch, size, size]),
        contract.OUTPUT_SAMPLE: (FLOAT, [batch, 1, size, size]),
    }
    for side, expected in (("inputs", inputs), ("outputs", outputs)):
        _require(len(graph[side]) == len(expected), f"its {side} are not {', '.join(expected)}")
        found = {value.get("name", ""): _read_value(value) for value in graph[side]}
        _require(found == expected, f"its {side} are not {', '.join(expected)} as the contract has them")


def _run_shapes(
    graph: dict[str, Any], constants: dict[str, _Tensor], batch: int, latent_dim: int, classes: int
) -> list[Cost]:
    """Return what each node takes for a batch of this size."""
    known = dict(constants)
    known[contract.INPUT_LATENT] = _Tensor(FLOAT, (batch, latent_dim))
    known[contract.INPUT_LABEL] = _Tensor(INT64, (batch,), span=(0, classes - 1))
    follow = {contract.INPUT_LATENT, contract.INPUT_LABEL}
    costs: list[Cost] = []
    elements = multiplies = 0
    for raw in graph["nodes"]:
        op = raw.get("op", "")
        rule = _RULES.get(op)
        _require(rule and raw.get("domain", "") in ("", "ai.onnx"), f"operator {op!r} is not allowed")
        assert rule is not None
        _require(all(name in known for name in raw["inputs"] if name), f"{op} has an unknown input")
        node = _Node(
            op,
            [known.get(name) if name else None for name in raw["inputs"]],
            _read_attributes(raw, rule.attributes),
        )
        try:
            _require(len(node.inputs) <= rule.inputs, "too many inputs")
            out = rule.shape(node)
            _require(
                len(out.dims) <= _MAX_RANK and all(size > 0 for size in out.dims), f"makes shape {out.dims}"
            )
        except GraphError as error:
            raise GraphError(f"{op}: {error}") from None
        made = raw["outputs"][0] if len(raw["outputs"]) == 1 else ""
        _require(made and made not in known, f"{op}: outputs clash")
        known[made] = out
        if follow.intersection(raw["inputs"]):
            follow.add(made)
            _check_rows_apart(node, raw["inputs"][0] in follow, out, batch)
        values = out.elements * max(1, _ELEMENT_BYTES[out.kind] // _ELEMENT_BYTES[FLOAT])
        costs.append(Cost(values + node.scratch, node.multiplies))
        elements += costs[-1].elements
        multiplies += node.multiplies
        _require(elements <= batch * MAX_ELEMENTS_PER_SAMPLE, "it would take too much memory")
        _require(multiplies <= batch * MAX_MULTIPLIES_PER_SAMPLE, "it would take too long")
    _check_declared(graph, known, batch)
    return costs


def _check_rows_apart(node: _Node, first_follows: bool, out: _Tensor, batch: int) -> None:
    """Refuse what moves, merges or adds up the rows of a batch, or picks among them.

    Args:
        node: it works on something that follows the batch.
        first_follows: whether its first input does.
        out: what it makes.
        batch: how many rows there are.
    """
    picks = (
        node.op == "Gather"
        and first_follows
        and _axis(node.attributes.get("axis", 0), len(node.input(0).dims)) == 0
    )
    _require(out.dims[:1] == (batch,) and not picks, f"{node.op}: it mixes the samples of a batch")


def _check_growth(sizes: tuple[int, ...]) -> None:
    """Refuse what grows faster than the batch: pairs of samples, of which a large batch has too many."""
    grown = tuple(sizes[0] * batch for batch in _BATCHES)
    _require(
        len(set(sizes)) == 1 or tuple(size * _BATCHES[0] for size in sizes) == grown,
        "it mixes the samples of a batch",
    )


def _check_declared(graph: dict[str, Any], known: dict[str, _Tensor], batch: int) -> None:
    for value in graph["outputs"] + graph["values"]:
        name, (kind, dims) = value.get("name", ""), _read_value(value)
        _require(name in known, f"nothing makes {name!r}")
        actual = known[name]
        # Only the batch is symbolic; whatever name an exporter gave it, or none.
        sizes = tuple(batch if isinstance(dim, str) else dim for dim in dims)
        _require(
            kind == actual.kind and sizes == actual.dims,
            f"{name!r} is declared with another shape than it gets",
        )


def check_graph(graph: dict[str, Any], latent_dim: int, classes: int) -> Cost:
    """Check a decoded graph (`onnxschema.GRAPH`) against the contract and against bounds.

    Args:
        graph: the graph as decoded.
        latent_dim: width of the latent input that the metadata announces.
        classes: how many there are; with any there is a label input.

    Returns:
        What one sample takes.

    Raises:
        GraphError: the graph differs from the contract, is inconsistent or asks for too much.
    """
    _require(0 < len(graph["nodes"]) <= MAX_NODES, f"it has {len(graph['nodes'])} nodes")
    _check_interface(graph, latent_dim, bool(classes))
    constants: dict[str, _Tensor] = {}
    for tensor in graph["initializers"]:
        name = tensor.get("name", "")
        _require(
            name and name not in constants and name not in (contract.INPUT_LATENT, contract.INPUT_LABEL),
            "constants clash",
        )
        constants[name] = _read_constant(tensor)
    runs = [_run_shapes(graph, constants, batch, latent_dim, classes) for batch in _BATCHES]
    for costs in zip(*runs, strict=True):
        for sizes in zip(*costs, strict=True):
            _check_growth(sizes)
    elements, multiplies = (sum(values) for values in zip(*runs[0], strict=True))
    return Cost(-(-elements // _BATCHES[0]), -(-multiplies // _BATCHES[0]))
