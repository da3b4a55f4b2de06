"""The small edits of an ONNX model that mutants are made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

Array = np.ndarray[Any, Any]
Edit = Callable[[onnx.ModelProto], None]


@dataclass(frozen=True)
class Mutant:
    """One way in which an exported file could be wrong.

    Attributes:
        group: the kind of defect, one row of the table.
        name: what exactly is changed.
        edit: changes a model in place.
    """

    group: str
    name: str
    edit: Edit


def read_constant(model: onnx.ModelProto, name: str) -> Array:
    """Return a copy of the initializer `name`."""
    found = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    return numpy_helper.to_array(found).copy()


def write_constant(model: onnx.ModelProto, name: str, value: npt.ArrayLike) -> None:
    """Give the initializer `name` another value, or make it."""
    tensor = numpy_helper.from_array(np.asarray(value, order="C"), name)
    for old in model.graph.initializer:
        if old.name == name:
            old.CopyFrom(tensor)
            return
    model.graph.initializer.append(tensor)


def find_maker(model: onnx.ModelProto, value: str) -> tuple[int, onnx.NodeProto]:
    """Return the node that makes `value`, and its place."""
    return next((place, node) for place, node in enumerate(model.graph.node) if value in node.output)


def replace_uses(model: onnx.ModelProto, old: str, new: str, after: int = -1) -> None:
    """Let every node behind the place `after` read `new` where it read `old`."""
    for node in list(model.graph.node)[after + 1 :]:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new


def insert_behind(model: onnx.ModelProto, value: str, *nodes: onnx.NodeProto) -> None:
    """Pass `value` through `nodes`, which read `before` and make `after`.

    Users of the value, and the graph's output of that name, get what the nodes make.
    """
    place, maker = find_maker(model, value)
    raw = f"{value}_raw"
    maker.output[list(maker.output).index(value)] = raw
    for offset, node in enumerate(nodes, start=1):
        for names in (node.input, node.output):
            for position, name in enumerate(names):
                names[position] = {"before": raw, "after": value}.get(name, name)
        node.name = f"inserted_{offset}"
        model.graph.node.insert(place + offset, node)


def make_node(operator: str, *inputs: str, output: str = "after", **attributes: Any) -> onnx.NodeProto:
    """Return a node; `before` and `after` are the ends of what `insert_behind` inserts."""
    return helper.make_node(operator, inputs or ("before",), [output], **attributes)
