"""Every guard of a model file's graph and metadata turns away the file that it is there for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from mnist_sample import contract
from mnist_sample.errors import ModelFileError
from mnist_sample.modelfile import read_model
from tests.runtime.edits import Edit, add_node, find_node, set_attribute, set_metadata
from tests.runtime.standin import Standin


def _zeros(*shape: int) -> np.ndarray[Any, Any]:
    return np.zeros(shape, np.float32)


def _repeat_attribute(model: ModelProto) -> None:
    find_node("Conv")(model).attribute.append(helper.make_attribute("pads", [1, 1, 1, 1]))


def _shorten_constant(model: ModelProto) -> None:
    model.graph.initializer[0].raw_data = model.graph.initializer[0].raw_data[:-4]


def _halve_constant(model: ModelProto) -> None:
    model.graph.initializer[0].data_type = TensorProto.FLOAT16


def _constant(value: float) -> Edit:
    def edit(model: ModelProto) -> None:
        numbers = np.frombuffer(model.graph.initializer[0].raw_data, np.float32).copy()
        numbers[-1] = value
        model.graph.initializer[0].raw_data = numbers.tobytes()

    return edit


def _move_labels(model: ModelProto) -> None:
    """Gather five rows further on: beyond the table, which CUDA takes for zeros."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([5]), "five"))
    find_node("Gather")(model).input[1] = "moved"
    model.graph.node.insert(0, helper.make_node("Add", [contract.INPUT_LABEL, "five"], ["moved"]))


def _make_twice(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["dense"], ["sum"]))


def _make_input(model: ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["dense"], ["latent"]))


def _call_foreign(model: ModelProto) -> None:
    find_node("Relu")(model).domain = "com.microsoft"


def _make_many(model: ModelProto) -> None:
    for at in range(1001):
        model.graph.node.append(helper.make_node("Relu", ["dense"], [f"more_{at}"]))


def _declare(name: str, kind: int) -> Edit:
    return lambda model: model.graph.value_info.append(
        helper.make_tensor_value_info(name, kind, ["batch", 196])
    )


def _name_input_twice(model: ModelProto) -> None:
    model.graph.input.append(model.graph.input[0])


def _train(model: ModelProto) -> None:
    model.training_info.add()


EDITS: list[tuple[Edit, str]] = [
    (set_attribute("Gather", "axis", 2), "axis 2 does not exist"),
    (add_node("Clip", "dense", "low", constants={"low": _zeros(1)}), "a bound is no scalar"),
    (add_node("Clip", "dense", "", "", ""), "too many inputs"),
    (add_node("Add", "latent", "label"), "do not fit|element types differ"),
    (add_node("Mul", "dense", "one", constants={"one": np.array([1])}), "element types differ"),
    (
        add_node("Concat", "dense", "labels", axis=1, constants={"labels": np.zeros((1, 1), np.int64)}),
        "element types differ",
    ),
    (add_node("Concat", "dense", "maps", axis=1), "ranks differ"),
    (add_node("Concat", "dense", "row", axis=1, constants={"row": _zeros(1, 3)}), "shapes differ"),
    (
        add_node("Conv", "maps", "w", constants={"w": _zeros(4, 4, 65, 1)}, pads=[40, 0, 40, 0]),
        "kernel_shape is out of bounds",
    ),
    (set_attribute("Conv", "kernel_shape", [2, 2]), "kernel_shape differs"),
    (set_attribute("Conv", "strides", [1]), "wrong length"),
    (set_attribute("Conv", "pads", [1, 1]), "wrong length"),
    (add_node("Conv", "maps", "w", constants={"w": _zeros(3, 2, 1, 1)}, group=2), "group does not fit"),
    (add_node("Conv", "maps", "w", constants={"w": _zeros(4, 3, 1, 1)}), "channels do not fit"),
    (
        add_node("Conv", "maps", "w", "b", constants={"w": _zeros(4, 4, 1, 1), "b": _zeros(5)}),
        "the bias does not fit",
    ),
    (add_node("ConvTranspose", "maps", "w", constants={"w": _zeros(3, 4, 1, 1)}), "channels do not fit"),
    (
        add_node("ConvTranspose", "maps", "w", constants={"w": _zeros(4, 4, 2, 2)}, output_padding=[0]),
        "wrong length",
    ),
    (add_node("Gather", "table", "latent", constants={"table": _zeros(3, 3)}), "indices are not int64"),
    (_move_labels, "Gather: indices are computed"),
    (set_attribute("Gemm", "alpha", float("nan")), "attribute 'alpha' is not finite"),
    (set_attribute("Gemm", "alpha", float("inf")), "attribute 'alpha' is not finite"),
    (add_node("MatMul", "many", "many", constants={"many": np.zeros((2, 2), np.int64)}), "not of float32"),
    (add_node("Gemm", "latent", "dense_w", "b", constants={"b": _zeros(5)}), "the bias does not fit"),
    (add_node("Reshape", "dense", "s", constants={"s": np.array([-1, -1])}), "the shape makes no sense"),
    (add_node("Reshape", "dense", "s", constants={"s": np.array([-2, 98])}), "the shape makes no sense"),
    (add_node("Reshape", "dense", "s", constants={"s": np.array([-1, 196, 0])}), "the shape makes no sense"),
    (
        add_node("Reshape", "dense", "s", allowzero=1, constants={"s": np.array([-1, 196])}),
        "the shape is not constant",
    ),
    (add_node("Unsqueeze", "dense", "a", constants={"a": np.array([1, 1])}), "an axis is named twice"),
    (add_node("Squeeze", "dense", "a", constants={"a": np.array([1])}), "a squeezed axis is longer than 1"),
    (add_node("Transpose", "dense", perm=[0, 0]), "perm is no permutation"),
    (_repeat_attribute, "unexpected attribute 'pads'"),
    (_shorten_constant, "size and shape differ"),
    (_constant(float("nan")), "a constant is not finite"),
    (_constant(float("-inf")), "a constant is not finite"),
    (
        add_node("Gather", "maps", "far", axis=1, constants={"far": np.array([0] * 20 + [4])}),
        "an index is out",
    ),
    (
        add_node("Gather", "maps", "far", axis=1, constants={"far": np.array([0] * 20 + [-5])}),
        "an index is out",
    ),
    (add_node("Cast", contract.OUTPUT_IMAGE, to=TensorProto.FLOAT), "Cast: pixels are cast once"),
    (add_node("Cast", "latent", to=TensorProto.INT64), "Cast: unknown element type"),
    (_halve_constant, "element type 10"),
    (add_node("Relu", "c", constants={"c": _zeros(1, 1, 1, 1, 1, 1, 1)}), "a constant has shape"),
    (_make_twice, "outputs clash"),
    (_make_input, "outputs clash"),
    (_call_foreign, "operator 'Relu' is not allowed"),
    (_make_many, "it has 10"),
    (_declare("ghost", TensorProto.FLOAT), "nothing makes 'ghost'"),
    (_declare("dense", TensorProto.INT64), "another shape than it gets"),
    (_name_input_twice, "its inputs are not latent, label"),
    (add_node("Relu", "dense", "dense"), "too many inputs"),
    (set_metadata(contract.KEY_CONTRACT, "\u00b2"), "contract version is damaged"),
    (set_metadata(contract.KEY_CONTRACT, "9" * 5000), "contract version is damaged"),
    (set_metadata(contract.KEY_LATENT_DIM, "\u00b2"), "latent size"),
    (set_metadata(contract.KEY_LATENT_DIM, "9" * 5000), "latent size"),
    (set_metadata(contract.KEY_CLASSES, json.dumps(["x" * 33, "b"])), "class names"),
    (set_metadata(contract.KEY_CLASSES, json.dumps(["", "b"])), "class names"),
    (set_metadata(contract.KEY_CLASSES, json.dumps([1, 2])), "class names"),
    (set_metadata(contract.KEY_CLASSES, json.dumps(["a,b", "b"])), "class names"),
    (set_metadata(contract.KEY_CLASSES, json.dumps([str(n) for n in range(257)])), "class names"),
    (_train, "functions or a training graph"),
]


@pytest.mark.parametrize(
    ("edit", "words"), EDITS, ids=[f"{at} {words[:40]}" for at, (_, words) in enumerate(EDITS)]
)
def test_what_a_sealed_file_may_not_be(tmp_path: Path, edit: Edit, words: str) -> None:
    path = Standin().save(tmp_path / "edited.onnx", edit)
    with pytest.raises(ModelFileError, match=words):
        read_model(path)
