"""Wrong operators: every node left out, replaced, followed by another, or with other attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper

from tests.export.mutants.edits import (
    Mutant,
    insert_behind,
    make_node,
    read_constant,
    replace_uses,
    write_constant,
)

REPLACEMENTS: dict[str, tuple[str, ...]] = {
    "Add": ("Sub", "Mul", "Max"),
    "Mul": ("Add", "Div"),
    "Relu": ("Abs", "LeakyRelu", "Elu", "Sigmoid", "Softplus", "Identity", "Neg"),
    "LeakyRelu": ("Relu", "Elu", "Identity"),
    "Tanh": ("Sigmoid", "HardSigmoid", "Erf", "Softsign", "Sin", "Identity"),
    "Round": ("Floor", "Ceil", "Identity"),
    "DepthToSpace": ("SpaceToDepth",),
    "Conv": ("ConvTranspose",),
    "ConvTranspose": ("Conv",),
}


def make_mutants(model: onnx.ModelProto) -> Iterator[Mutant]:
    """Yield all mutants of single nodes."""
    for place, node in enumerate(model.graph.node):
        what = f"{node.name} ({node.op_type})"
        yield Mutant("a node left out", f"{what} left out", partial(_bypass, place=place))
        for other in REPLACEMENTS.get(node.op_type, ()):
            yield Mutant(
                "another operator",
                f"{what} replaced by {other}",
                partial(_replace, place=place, other=other),
            )
        if len(node.input) > 1:
            yield Mutant("inputs swapped", f"{what} with its first two inputs swapped", _swap_inputs(place))
        if len(node.input) > 2:
            yield Mutant("an input left out", f"{what} without its last input", _drop_input(place))
        yield from _attribute_mutants(place, node, what)
        if node.output[0] not in {value.name for value in model.graph.output} or node.op_type == "Tanh":
            yield from _inserted_mutants(node.output[0], what)


def _bypass(model: onnx.ModelProto, place: int) -> None:
    node = model.graph.node[place]
    source, made = node.input[0], node.output[0]
    del model.graph.node[place]
    replace_uses(model, made, source)
    if made in {value.name for value in model.graph.output}:
        for earlier in model.graph.node:
            earlier.output[:] = [made if name == source else name for name in earlier.output]
        replace_uses(model, source, made)


def _replace(model: onnx.ModelProto, place: int, other: str) -> None:
    node = model.graph.node[place]
    node.op_type = other
    if other not in ("Conv", "ConvTranspose", "LeakyRelu"):
        kept = [attribute for attribute in node.attribute if attribute.name in ("blocksize",)]
        del node.attribute[:]
        node.attribute.extend(kept)


def _swap_inputs(place: int) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        names = model.graph.node[place].input
        names[0], names[1] = names[1], names[0]

    return edit


def _drop_input(place: int) -> Callable[[onnx.ModelProto], None]:
    return lambda model: model.graph.node[place].input.pop() and None


def _attribute_mutants(place: int, node: onnx.NodeProto, what: str) -> Iterator[Mutant]:
    for attribute in node.attribute:
        key = attribute.name
        yield Mutant("a wrong attribute", f"{what} without {key}", partial(_drop, place=place, key=key))
        value = helper.get_attribute_value(attribute)
        if attribute.type == AttributeProto.INT:
            others = [value + 1, value - 1, 1 - value]
        elif attribute.type == AttributeProto.FLOAT:
            others = [value * 1.01, -value, 0.0]
        elif key == "perm":
            others = [_swap(value, at) for at in range(1, len(value))]
        elif attribute.type == AttributeProto.INTS:
            others = [
                [number + (index == at) for at, number in enumerate(value)] for index in range(len(value))
            ]
        else:
            others = [{b"CRD": "DCR", b"DCR": "CRD"}.get(value, "VALID")]
        for other in others:
            if other != value:
                yield Mutant("a wrong attribute", f"{what} with {key} {other}", _set(place, key, other))
    if node.op_type == "Gemm":
        for key in ("alpha", "beta"):
            yield Mutant("a wrong attribute", f"{what} with {key} 1.01", _set(place, key, 1.01))


def _swap(axes: list[int], at: int) -> list[int]:
    """Return the axes with the one at `at` and the one before it in each other's place."""
    return [*axes[: at - 1], axes[at], axes[at - 1], *axes[at + 1 :]]


def _drop(model: onnx.ModelProto, place: int, key: str) -> None:
    node = model.graph.node[place]
    kept = [attribute for attribute in node.attribute if attribute.name != key]
    del node.attribute[:]
    node.attribute.extend(kept)


def _set(place: int, key: str, value: object) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        _drop(model, place, key)
        model.graph.node[place].attribute.append(helper.make_attribute(key, value))

    return edit


def _inserted_mutants(value: str, what: str) -> Iterator[Mutant]:
    def insert(*nodes: onnx.NodeProto, **constants: float) -> Callable[[onnx.ModelProto], None]:
        def edit(model: onnx.ModelProto) -> None:
            for name, number in constants.items():
                write_constant(model, name, np.float32(number))
            copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
            insert_behind(model, value, *copies)

        return edit

    half = make_node("Cast", output="halfway", to=TensorProto.FLOAT16)
    back = make_node("Cast", "halfway", to=TensorProto.FLOAT)
    mean = make_node("ReduceMean", "before", "axes", output="halfway", keepdims=1)

    def subtract_mean(model: onnx.ModelProto) -> None:
        write_constant(model, "axes", np.array([0]))
        insert_behind(model, value, mean, make_node("Sub", "before", "halfway"))

    for group, name, edit in (
        ("a node too many", "Identity", insert(make_node("Identity"))),
        ("a node too many", "a Transpose pair", lambda model: _insert_transposes(model, value)),
        ("a node too many", "a Cast to half precision and back", insert(half, back)),
        ("a node too many", "Dropout", insert(make_node("Dropout"))),
        ("a node too many", "addition of 0.001", insert(make_node("Add", "before", "c"), c=1e-3)),
        ("a node too many", "multiplication by 0.999", insert(make_node("Mul", "before", "c"), c=0.999)),
        ("a node too many", "multiplication by 1", insert(make_node("Mul", "before", "c"), c=1.0)),
        ("a node too many", "negation", insert(make_node("Mul", "before", "c"), c=-1.0)),
        ("a node too many", "Relu", insert(make_node("Relu"))),
        (
            "a node too many",
            "Clip to 0.9",
            insert(make_node("Clip", "before", "low", "high"), low=-0.9, high=0.9),
        ),
        ("statistics of the batch", "the batch's mean taken off", subtract_mean),
        ("chance", "noise", insert(make_node("RandomNormalLike", scale=1e-6))),
        (
            "an operator of another domain",
            "com.microsoft.Gelu",
            insert(make_node("Gelu", domain="com.microsoft")),
        ),
    ):
        yield Mutant(group, f"{what} followed by {name}", edit)


def _insert_transposes(model: onnx.ModelProto, value: str) -> None:
    insert_behind(
        model,
        value,
        make_node("Transpose", output="halfway"),
        make_node("Transpose", "halfway"),
    )


def ignore_label(model: onnx.ModelProto) -> None:
    """Leave `label` an input that decides nothing: every class has the row of class 0."""
    table = next(node.input[0] for node in model.graph.node if "label" in node.input)
    rows = read_constant(model, table)
    write_constant(model, table, np.broadcast_to(rows[:1], rows.shape).copy())
