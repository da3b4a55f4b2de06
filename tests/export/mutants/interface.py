"""Inputs and outputs that are not the contract's, or that do not mean what they should."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import onnx
from onnx import TensorProto

from mnist_sample import contract
from tests.export.mutants.edits import (
    Edit,
    Mutant,
    insert_behind,
    make_node,
    replace_uses,
    write_constant,
)

IMAGE, SAMPLE, LATENT, LABEL = (
    contract.OUTPUT_IMAGE,
    contract.OUTPUT_SAMPLE,
    contract.INPUT_LATENT,
    contract.INPUT_LABEL,
)


def make_mutants(model: onnx.ModelProto) -> Iterator[Mutant]:
    """Yield every change of an input or an output."""
    for name, place in ((LATENT, 0), (LABEL, 1), (IMAGE, 0), (SAMPLE, 1)):
        kind = "input" if name in (LATENT, LABEL) else "output"
        values = model.graph.input if kind == "input" else model.graph.output
        if place < len(values):
            yield from _declared(name, kind, place)
    yield Mutant("outputs in another order", "image and sample change places", _swap_outputs)
    yield Mutant("an unknown output", "one output more", _add_output)
    for name, axes in ((IMAGE, [0, 2, 1]), (SAMPLE, [0, 1, 3, 2])):
        transpose = make_node("Transpose", perm=axes)
        yield Mutant(
            "transposed image axes",
            f"{name} transposed",
            partial(_insert, name=name, node=transpose),
        )
    yield Mutant("transposed image axes", "image upside down", _turn_over)
    for levels in (1, -1, 0.5, -0.5, 0.01):
        yield Mutant("a wrong grey scale", f"image {levels} levels brighter", _brighten(levels))
    yield Mutant("inverted ink", "image is paper on ink", _invert_image)
    yield Mutant("inverted ink", "sample negated", lambda model: _multiply(model, SAMPLE, -1))
    yield Mutant("a row not its own", "rows of the batch reversed", _reverse_rows)
    for name in (LATENT, LABEL)[: len(model.graph.input)]:
        yield Mutant("an input that is not used", f"{name} multiplied by 0", _ignore(name))
        yield Mutant(
            "an input that is not used", f"{name} replaced by a constant", _replace_by_constant(name)
        )
    yield Mutant("a row not its own", "every row gets the first row's latent", _share_first_row)
    yield Mutant("a row not its own", "every row gets a little of its batch mates", _mix_rows)
    for bound in (6, 100):
        yield Mutant("wrong far out", f"latents clipped at {bound}", _clip_latents(bound))


def _insert(model: onnx.ModelProto, name: str, node: onnx.NodeProto) -> None:
    insert_behind(model, name, onnx.NodeProto.FromString(node.SerializeToString()))


def _multiply(model: onnx.ModelProto, name: str, factor: float) -> None:
    write_constant(model, "factor", np.float32(factor))
    insert_behind(model, name, make_node("Mul", "before", "factor"))


def _declared(name: str, kind: str, place: int) -> Iterator[Mutant]:
    def declare(change: Callable[[onnx.ValueInfoProto], object]) -> Edit:
        def edit(model: onnx.ModelProto) -> None:
            change((model.graph.input if kind == "input" else model.graph.output)[place])

        return edit

    def rename(model: onnx.ModelProto) -> None:
        values = model.graph.input if kind == "input" else model.graph.output
        values[place].name = "renamed"
        replace_uses(model, name, "renamed")
        for node in model.graph.node:
            node.output[:] = ["renamed" if made == name else made for made in node.output]

    def remove(model: onnx.ModelProto) -> None:
        del (model.graph.input if kind == "input" else model.graph.output)[place]

    def dimensions(value: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
        return list(value.type.tensor_type.shape.dim)

    def fix_batch(value: onnx.ValueInfoProto, batch: int) -> None:
        dimensions(value)[0].dim_value = batch

    yield Mutant(f"a renamed {kind}", f"{name} renamed", rename)
    yield Mutant(f"a missing {kind}", f"{name} removed", remove)
    yield Mutant(
        "another element type",
        f"{name} declared float64",
        declare(lambda value: setattr(value.type.tensor_type, "elem_type", TensorProto.DOUBLE)),
    )
    for batch in (1, 2):
        yield Mutant(
            "a baked batch",
            f"{name} declared with a batch of {batch}",
            declare(partial(fix_batch, batch=batch)),
        )
    yield Mutant(
        "a batch of another name",
        f"{name} with the axis N",
        declare(lambda value: setattr(dimensions(value)[0], "dim_param", "N")),
    )
    yield Mutant(
        "a batch of another name",
        f"{name} with an axis of no name",
        declare(lambda value: dimensions(value)[0].ClearField("value")),
    )
    yield Mutant(
        "another shape",
        f"{name} with the last size one more",
        declare(
            lambda value: setattr(dimensions(value)[-1], "dim_value", dimensions(value)[-1].dim_value + 1)
        ),
    )
    yield Mutant(
        "another shape",
        f"{name} with a symbolic last size",
        declare(lambda value: setattr(dimensions(value)[-1], "dim_param", "size")),
    )
    yield Mutant(
        "another shape",
        f"{name} without a shape",
        declare(lambda value: value.type.tensor_type.ClearField("shape")),
    )


def _swap_outputs(model: onnx.ModelProto) -> None:
    first, second = list(model.graph.output)
    del model.graph.output[:]
    model.graph.output.extend([second, first])


def _add_output(model: onnx.ModelProto) -> None:
    extra = model.graph.output.add()
    extra.CopyFrom(model.graph.output[1])
    extra.name = model.graph.node[0].output[0]


def _mix_rows(model: onnx.ModelProto) -> None:
    """Add a millionth of X X^T X: none of its operators looks across the batch by itself."""
    write_constant(model, "little", np.float32(1e-6))
    insert_behind(
        model,
        next(node.output[0] for node in model.graph.node if LATENT in node.input),
        make_node("Gemm", "before", "before", output="similar", transB=1),
        make_node("MatMul", "similar", "before", output="mixed"),
        make_node("Mul", "mixed", "little", output="trace"),
        make_node("Add", "before", "trace"),
    )


def _clip_latents(bound: float) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        write_constant(model, "low", np.float32(-bound))
        write_constant(model, "high", np.float32(bound))
        model.graph.node.insert(0, make_node("Clip", LATENT, "low", "high", output="clipped"))
        model.graph.node[0].name = "inserted"
        replace_uses(model, LATENT, "clipped", after=0)

    return edit


def _turn_over(model: onnx.ModelProto) -> None:
    write_constant(model, "order", np.arange(contract.IMAGE_SIZE)[::-1])
    _insert(model, IMAGE, make_node("Gather", "before", "order", axis=1))


def _invert_image(model: onnx.ModelProto) -> None:
    """Turn round(127.5 s + 127.5) into round(-127.5 s + 127.5)."""
    _, first = next((at, node) for at, node in enumerate(model.graph.node) if SAMPLE in node.input)
    constant = next(name for name in first.input if name != SAMPLE)
    write_constant(model, constant, np.float32(-127.5))


def _brighten(levels: float) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        grey = next(node.input[0] for node in model.graph.node if node.op_type == "Round")
        write_constant(model, "levels", np.float32(levels))
        insert_behind(model, grey, make_node("Add", "before", "levels"))

    return edit


def _reverse_rows(model: onnx.ModelProto) -> None:
    """Give row i the latent of row -1 - i: equal at batch 1."""
    slice_node = make_node("Slice", LATENT, "start", "end", "axis", "step", output="reversed")
    for name, value in (("start", -1), ("end", -(2**31)), ("axis", 0), ("step", -1)):
        write_constant(model, name, np.array([value]))
    model.graph.node.insert(0, slice_node)
    replace_uses(model, LATENT, "reversed", after=0)


def _share_first_row(model: onnx.ModelProto) -> None:
    """Add the first row's latent to every row, less its own share: right only at batch 1."""
    write_constant(model, "none", np.array([0]))
    model.graph.node.insert(0, make_node("Gather", LATENT, "none", output="first", axis=0))
    write_constant(model, "nothing", np.float32(0))
    model.graph.node.insert(1, make_node("Mul", LATENT, "nothing", output="zeros"))
    model.graph.node.insert(2, make_node("Add", "zeros", "first", output="shared"))
    replace_uses(model, LATENT, "shared", after=2)


def _ignore(name: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        write_constant(model, "nothing", np.array(0, np.int64 if name == LABEL else np.float32))
        model.graph.node.insert(0, make_node("Mul", name, "nothing", output="ignored"))
        replace_uses(model, name, "ignored", after=0)

    return edit


def _replace_by_constant(name: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        width = model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
        value = np.zeros(1, np.int64) if name == LABEL else np.zeros((1, width), np.float32)
        write_constant(model, "fixed", value)
        replace_uses(model, name, "fixed")

    return edit
