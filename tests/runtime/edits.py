"""Changes to a good model file that make it another one; it is sealed anew after them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

Edit = Callable[[ModelProto], None]


def set_metadata(key: str, value: str) -> Edit:
    def edit(model: ModelProto) -> None:
        for entry in model.metadata_props:
            if entry.key == key:
                entry.value = value

    return edit


def find_node(op: str) -> Callable[[ModelProto], NodeProto]:
    return lambda model: next(node for node in model.graph.node if node.op_type == op)


def set_attribute(op: str, name: str, value: object) -> Edit:
    def edit(model: ModelProto) -> None:
        node = find_node(op)(model)
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return edit


def add_node(
    op: str, *inputs: str, constants: Mapping[str, np.ndarray[Any, Any]] | None = None, **attributes: Any
) -> Edit:
    """Add a node whose output nobody uses, and the constants that it takes."""

    def edit(model: ModelProto) -> None:
        for name, value in (constants or {}).items():
            model.graph.initializer.append(numpy_helper.from_array(value, name))
        model.graph.node.append(helper.make_node(op, list(inputs), ["extra"], **attributes))

    return edit
