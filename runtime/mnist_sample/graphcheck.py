"""What a graph would make of a batch, worked out before onnxruntime sees it.

A file that is well formed can still ask for terabytes, divide by zero in a kernel or never end. Every node's
output shape follows here from the operator's definition (`operators`), and the sums stay below what a
generator of 28 x 28 pictures could need.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import numpy as np

from mnist_sample import contract
from mnist_sample.onnxschema import FLOAT, INT64, UINT8
from mnist_sample.operators import (
    MAX_NODES,
    RULES,
    GraphError,
    Node,
    Tensor,
    find_axis,
    read_attributes,
    require,
)

MAX_ELEMENTS_PER_SAMPLE: Final = 2**21
"""Values in all tensors together; the built-in architectures stay below a tenth."""
MAX_MULTIPLIES_PER_SAMPLE: Final = 2**30
_MAX_RANK: Final = 6
_ELEMENT_BYTES: Final = {FLOAT: 4, INT64: 8, UINT8: 1}
_BATCHES: Final = (2, 3, 5)
"""Shapes are worked out for each: one that fits only by chance, or has a fixed batch, fails for some."""


class Cost(NamedTuple):
    """What a node takes, or a graph for each sample: values of four bytes held, and multiplications made."""

    elements: int
    multiplies: int


def _read_constant(tensor: dict[str, Any]) -> Tensor:
    kind, dims = tensor.get("data_type", 0), tuple(tensor["dims"])
    require(not tensor["external"] and tensor.get("data_location", 0) == 0, "it keeps data in other files")
    require(kind in _ELEMENT_BYTES, f"a constant has element type {kind}")
    require(
        len(dims) <= _MAX_RANK and all(0 < size <= contract.MAX_FILE_BYTES for size in dims),
        f"a constant has shape {dims}",
    )
    raw = tensor.get("raw_data", b"")
    require(len(raw) == math.prod(dims) * _ELEMENT_BYTES[kind], "a constant's size and shape differ")
    if kind == FLOAT:
        require(np.isfinite(np.frombuffer(raw, "<f4")).all(), "a constant is not finite")
    if kind != INT64:
        return Tensor(kind, dims)
    values = np.frombuffer(raw, "<i8")
    small = values.size <= _MAX_RANK and len(dims) <= 1
    return Tensor(
        kind, dims, tuple(values.tolist()) if small else None, (int(values.min()), int(values.max()))
    )


def _read_value(value: dict[str, Any]) -> tuple[int, list[int | str]]:
    """Return a declared value's element type and shape, a symbolic size as its name."""
    tensor = value.get("type", {}).get("tensor", {})
    require("shape" in tensor, f"{value.get('name', '')!r} has no shape")
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
        require(len(graph[side]) == len(expected), f"its {side} are not {', '.join(expected)}")
        found = {value.get("name", ""): _read_value(value) for value in graph[side]}
        require(found == expected, f"its {side} are not {', '.join(expected)} as the contract has them")


def _follow_node(raw: dict[str, Any], known: dict[str, Tensor]) -> tuple[Node, Tensor]:
    """Return a node with its inputs resolved, and the tensor that it makes."""
    op = raw.get("op", "")
    rule = RULES.get(op)
    require(rule and raw.get("domain", "") in ("", "ai.onnx"), f"operator {op!r} is not allowed")
    assert rule is not None
    require(all(name in known for name in raw["inputs"] if name), f"{op} has an unknown input")
    node = Node(
        op,
        [known.get(name) if name else None for name in raw["inputs"]],
        read_attributes(raw, rule.attributes),
    )
    try:
        require(len(node.inputs) <= rule.inputs, "too many inputs")
        out = rule.shape(node)
        require(len(out.dims) <= _MAX_RANK and all(size > 0 for size in out.dims), f"makes shape {out.dims}")
    except GraphError as error:
        raise GraphError(f"{op}: {error}") from None
    return node, out


def _run_shapes(
    graph: dict[str, Any], constants: dict[str, Tensor], batch: int, latent_dim: int, classes: int
) -> list[Cost]:
    """Return what each node takes for a batch of this size."""
    known = dict(constants)
    known[contract.INPUT_LATENT] = Tensor(FLOAT, (batch, latent_dim))
    known[contract.INPUT_LABEL] = Tensor(INT64, (batch,), span=(0, classes - 1))
    follow = {contract.INPUT_LATENT, contract.INPUT_LABEL}
    costs: list[Cost] = []
    elements = multiplies = 0
    for raw in graph["nodes"]:
        node, out = _follow_node(raw, known)
        made = raw["outputs"][0] if len(raw["outputs"]) == 1 else ""
        require(made and made not in known, f"{node.op}: outputs clash")
        known[made] = out
        if follow.intersection(raw["inputs"]):
            follow.add(made)
            _check_rows_apart(node, raw["inputs"][0] in follow, out, batch)
        values = out.elements * max(1, _ELEMENT_BYTES[out.kind] // _ELEMENT_BYTES[FLOAT])
        costs.append(Cost(values + node.scratch, node.multiplies))
        elements += costs[-1].elements
        multiplies += node.multiplies
        require(elements <= batch * MAX_ELEMENTS_PER_SAMPLE, "it would take too much memory")
        require(multiplies <= batch * MAX_MULTIPLIES_PER_SAMPLE, "it would take too long")
    _check_declared(graph, known, batch)
    return costs


def _check_rows_apart(node: Node, first_follows: bool, out: Tensor, batch: int) -> None:
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
        and find_axis(node.attributes.get("axis", 0), len(node.input(0).dims)) == 0
    )
    require(out.dims[:1] == (batch,) and not picks, f"{node.op}: it mixes the samples of a batch")


def _check_growth(sizes: tuple[int, ...]) -> None:
    """Refuse what grows faster than the batch: pairs of samples, of which a large batch has too many."""
    grown = tuple(sizes[0] * batch for batch in _BATCHES)
    require(
        len(set(sizes)) == 1 or tuple(size * _BATCHES[0] for size in sizes) == grown,
        "it mixes the samples of a batch",
    )


def _check_declared(graph: dict[str, Any], known: dict[str, Tensor], batch: int) -> None:
    for value in graph["outputs"] + graph["values"]:
        name, (kind, dims) = value.get("name", ""), _read_value(value)
        require(name in known, f"nothing makes {name!r}")
        actual = known[name]
        # Only the batch is symbolic; whatever name an exporter gave it, or none.
        sizes = tuple(batch if isinstance(dim, str) else dim for dim in dims)
        require(
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
    require(0 < len(graph["nodes"]) <= MAX_NODES, f"it has {len(graph['nodes'])} nodes")
    _check_interface(graph, latent_dim, bool(classes))
    constants: dict[str, Tensor] = {}
    for tensor in graph["initializers"]:
        name = tensor.get("name", "")
        require(
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
