"""Model files that nobody vouches for are turned away at the door, each with its cause."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from mnist_sample import contract
from mnist_sample.cli import run_arguments
from mnist_sample.errors import ModelFileError
from mnist_sample.modelfile import read_model
from mnist_sample.sampler import Sampler
from tests.runtime.edits import Edit, add_node, find_node, set_attribute, set_metadata
from tests.runtime.standin import Standin


def test_a_good_file_tells_what_it_is(conditional: Path) -> None:
    model = read_model(conditional)
    assert (model.architecture, model.latent_dim, model.classes) == ("standin", 8, tuple("0123456789"))
    assert model.training["data"] == "none"
    assert model.evaluation == {"FID": {"generated": 3.5, "real": 0.5}}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"{}", "is no ONNX file"),
        (bytes(range(256)) * 100, "is no ONNX file"),
        (b"\x08\x0a", "no graph"),
    ],
)
def test_a_file_that_is_no_model(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=words):
        read_model(path)


def test_every_cut_of_a_good_file_is_refused(conditional: Path, tmp_path: Path) -> None:
    content = conditional.read_bytes()
    path = tmp_path / "cut.onnx"
    for size in range(0, len(content), max(1, len(content) // 100)):
        path.write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            read_model(path)


def test_one_flipped_bit_shows(conditional: Path, tmp_path: Path) -> None:
    content = bytearray(conditional.read_bytes())
    path = tmp_path / "flipped.onnx"
    for at in range(0, len(content), max(1, len(content) // 100)):
        content[at] ^= 1
        path.write_bytes(content)
        with pytest.raises(ModelFileError):
            read_model(path)
        content[at] ^= 1


def test_a_missing_file_a_folder_and_an_endless_one(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="does not exist"):
        read_model(tmp_path / "missing.onnx")
    with pytest.raises(ModelFileError, match="is a folder"):
        read_model(tmp_path)
    with pytest.raises(ModelFileError, match="larger than 64 MiB"):
        read_model(Path("/dev/zero"))


def test_a_file_beyond_the_bound_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.onnx"
    path.touch()
    os.truncate(path, contract.MAX_FILE_BYTES + 1)
    with pytest.raises(ModelFileError, match="larger than 64 MiB"):
        read_model(path)


def test_an_installation_without_the_bundled_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_sample.modelfile.BUNDLED", tmp_path / "generator.onnx")
    with pytest.raises(ModelFileError, match="no bundled model"):
        read_model()


def _drop(key: str) -> Edit:
    def edit(model: ModelProto) -> None:
        kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != key}
        del model.metadata_props[:]
        helper.set_model_props(model, kept)

    return edit


def _repeat_metadata(model: ModelProto) -> None:
    model.metadata_props.add(key=contract.KEY_CLASSES, value="[]")


def _external(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def _foreign_operator(model: ModelProto) -> None:
    model.opset_import.add(domain="com.microsoft", version=1)


def _function(model: ModelProto) -> None:
    model.functions.add(name="f", domain="ai.onnx")


def _huge_constant(model: ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [2**40, 2**40]


def _fixed_batch(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def _operator(op: str, other: str) -> Edit:
    def edit(model: ModelProto) -> None:
        find_node(op)(model).op_type = other

    return edit


def _grow(model: ModelProto) -> None:
    """Add convolutions whose padding makes each map larger than the one before."""
    for at in range(60):
        model.graph.node.append(
            helper.make_node(
                "Conv",
                ["maps_14" if at == 0 else f"grown_{at - 1}", "conv_14_w"],
                [f"grown_{at}"],
                pads=[64] * 4,
            )
        )


def _pair(model: ModelProto) -> None:
    """Add every sample to every other: for a batch of thousands, values in the billions."""
    model.graph.initializer.append(numpy_helper.from_array(np.array([1]), "second"))
    model.graph.node.append(helper.make_node("Unsqueeze", ["dense", "second"], ["apart"]))
    model.graph.node.append(helper.make_node("Add", ["apart", "dense"], ["pairs"]))


def _mix(*steps: onnx.NodeProto) -> Edit:
    """Put steps that make `mixed` of `latent` in front of all else."""

    def edit(model: ModelProto) -> None:
        graph = model.graph
        for name, value in (("rows_of_8", np.array([-1, 8])), ("first", np.array(0)), ("row", np.array([0]))):
            graph.initializer.append(numpy_helper.from_array(value, name))
        for node in graph.node:
            node.input[:] = ["mixed" if name == "latent" else name for name in node.input]
        nodes = [*steps, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)

    return edit


_SHUFFLE = _mix(
    helper.make_node("Transpose", ["latent"], ["turned"], perm=[1, 0]),
    helper.make_node("Reshape", ["turned", "rows_of_8"], ["mixed"]),
)
_ADD_UP = _mix(
    helper.make_node("Gemm", ["latent", "latent"], ["all"], transA=1),
    helper.make_node("MatMul", ["latent", "all"], ["mixed"]),
)
_ADD_FIRST = _mix(
    helper.make_node("Gather", ["latent", "first"], ["leader"], axis=0),
    helper.make_node("Add", ["latent", "leader"], ["mixed"]),
)
_PICK_BY_LABEL = _mix(helper.make_node("Gather", ["latent", "label"], ["mixed"]))
_LEAD = _mix(
    helper.make_node("Unsqueeze", ["latent", "row"], ["one"]),
    helper.make_node("Squeeze", ["one", "row"], ["mixed"]),
)


def _open_windows(model: ModelProto) -> None:
    """Add a transposed convolution that makes little, out of windows that are large all together."""
    window = np.zeros((4, 16, 64, 64), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(window, "window"))
    model.graph.node.append(
        helper.make_node("ConvTranspose", ["maps", "window"], ["windows"], pads=[34] * 4, strides=[1, 1])
    )


def _lone_channel(model: ModelProto) -> None:
    """Add a convolution of one channel, which onnxruntime holds as 16: of few values, but for that."""
    large = np.zeros((1, 1, 924, 924), np.float32)
    shape = np.array([-1, 1, 1, 8])
    for name, value in (("large", large), ("shape", shape), ("point", np.ones((1, 1, 1, 8), np.float32))):
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    model.graph.node.extend(
        [
            helper.make_node("Reshape", ["latent", "shape"], ["row"]),
            helper.make_node("Conv", ["row", "point"], ["pixel"]),
            helper.make_node("Add", ["pixel", "large"], ["lone"]),
            helper.make_node("Conv", ["lone", "point"], ["convolved"]),
        ]
    )


# For this one onnxruntime 1.22 to 1.27 read memory that is not theirs.
_PAD_OUTPUT = add_node(
    "ConvTranspose",
    "maps",
    "window",
    constants={"window": np.ones((4, 1, 2, 2), np.float32)},
    dilations=[2, 2],
    output_padding=[1, 1],
    pads=[1, 1, 2, 2],
)
_PICK_BEYOND = add_node("Gather", "maps", "beyond", axis=1, constants={"beyond": np.array([4])})


def _flatten_axes(model: ModelProto) -> None:
    (axes,) = (constant for constant in model.graph.initializer if constant.name == "axis")
    del axes.dims[:]


def _opset(*versions: int) -> Edit:
    def edit(model: ModelProto) -> None:
        model.opset_import[0].version = versions[0]
        for version in versions[1:]:
            model.opset_import.add(version=version)

    return edit


def _name_at_length(model: ModelProto) -> None:
    find_node("Relu")(model).op_type = "x" * 1_000_000


def _loop(model: ModelProto) -> None:
    find_node("Relu")(model).input[0] = contract.OUTPUT_IMAGE


def _rename_output(model: ModelProto) -> None:
    model.graph.output[0].name = "picture"


def _wide_label(model: ModelProto) -> None:
    model.graph.input[1].type.tensor_type.elem_type = onnx.TensorProto.INT32


EDITS: list[tuple[Edit, str]] = [
    (_drop(contract.KEY_CONTRACT), "not one made by `python -m export`"),
    (set_metadata(contract.KEY_CONTRACT, "2"), "newer than the 1 .* upgrade with `pip install"),
    (set_metadata(contract.KEY_CONTRACT, "0"), "not read any more"),
    (set_metadata(contract.KEY_CONTRACT, "one"), "contract version is damaged"),
    (_drop(contract.KEY_VERIFICATION), "lacks verification"),
    (set_metadata(contract.KEY_TRAINING, "{"), "training is not a JSON dict"),
    (set_metadata(contract.KEY_EVALUATION, "[" * 100_000), "evaluation is not a JSON dict"),
    (set_metadata(contract.KEY_TRAINING, f"[{'[],' * 400_000}[]]"), "training is longer than"),
    (set_metadata(contract.KEY_CLASSES, '["0", "0"]'), "class names"),
    (set_metadata(contract.KEY_CLASSES, '["\\u001b[2J"]'), "class names"),
    (set_metadata(contract.KEY_CLASSES, "[]"), "inputs are not latent"),
    (
        set_metadata(contract.KEY_CLASSES, json.dumps(list("0123456789X"))),
        "Gather: an index is out of bounds",
    ),
    (set_metadata(contract.KEY_LATENT_DIM, "9"), "inputs are not latent, label"),
    (set_metadata(contract.KEY_LATENT_DIM, "1000000"), "latent size"),
    (_repeat_metadata, "twice"),
    (_external, "data in other files"),
    (_foreign_operator, "beyond the ONNX standard"),
    (_function, "functions or a training graph"),
    (_huge_constant, "a constant has shape"),
    (_fixed_batch, "inputs are not latent"),
    (_rename_output, "outputs are not image"),
    (_wide_label, "inputs are not latent"),
    (_operator("Relu", "Sqrt"), "operator 'Sqrt' is not allowed"),
    (_operator("Relu", "Loop"), "operator 'Loop' is not allowed"),
    (_operator("Relu", "Add"), "Add: an input is missing"),
    (_loop, "Relu has an unknown input"),
    (_grow, "too much memory|too long"),
    (_pair, "mixes the samples of a batch"),
    (_SHUFFLE, "Transpose: it mixes the samples of a batch"),
    (_ADD_UP, "Gemm: it mixes the samples of a batch"),
    (_ADD_FIRST, "Gather: it mixes the samples of a batch"),
    (_PICK_BY_LABEL, "Gather: an index is out of bounds"),
    (_LEAD, "Unsqueeze: it mixes the samples of a batch"),
    (_open_windows, "too much memory"),
    (_PAD_OUTPUT, "output_padding is out of bounds"),
    (_PICK_BEYOND, "Gather: an index is out of bounds"),
    (_flatten_axes, "the axes are not constant"),
    (_opset(12), "does not name one opset of the ONNX standard, of 13 or more"),
    (_opset(18, 13), "does not name one opset"),
    (_lone_channel, "too much memory"),
    (_name_at_length, "^.{1,600}$"),
    (set_attribute("Conv", "strides", [0, 1]), "strides is out of bounds"),
    (set_attribute("Conv", "pads", [-1, 1, 1, 1]), "pads is out of bounds"),
    (set_attribute("Conv", "pads", [2**62, 1, 1, 1]), "pads is out of bounds"),
    (set_attribute("Conv", "dilations", [0, 1]), "dilations is out of bounds"),
    (set_attribute("Conv", "group", 0), "group does not fit"),
    (set_attribute("Conv", "group", 1.5), "'group' has the wrong type"),
    (set_attribute("Conv", "pads", [1.5, 1.0, 1.0, 1.0]), "unexpected field 7|'pads' has the wrong type"),
    (set_attribute("Conv", "auto_pad", "SAME_UPPER"), "auto_pad is not supported"),
    (set_attribute("DepthToSpace", "blocksize", 0), "blocksize is out of bounds"),
    (set_attribute("DepthToSpace", "blocksize", 3), "block size"),
    (set_attribute("DepthToSpace", "mode", "X"), "unknown mode"),
    (set_attribute("Gather", "axis", 5), "axis 5 does not exist"),
    (set_attribute("Gemm", "transB", 1), "do not fit"),
    (set_attribute("Cast", "to", 16), "unknown element type"),
    (set_attribute("Relu", "surprise", 1), "unexpected attribute 'surprise'"),
]


@pytest.mark.parametrize(("edit", "words"), EDITS, ids=[words[:40] for _, words in EDITS])
def test_a_sealed_file_that_is_not_ours(tmp_path: Path, edit: Edit, words: str) -> None:
    path = Standin().save(tmp_path / "edited.onnx", edit)
    with pytest.raises(ModelFileError, match=words):
        read_model(path)


def test_the_command_says_so_in_a_line_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Standin().save(tmp_path / "edited.onnx", _external)
    assert run_arguments(["--model", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"mnist-sample: cannot use model file {path}: ")
    assert err.count("\n") == 1
    assert [found.name for found in tmp_path.iterdir()] == ["edited.onnx"]


def test_a_file_that_may_not_be_read(
    conditional: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("os.access", lambda *_: False)  # who tests as root may read everything
    monkeypatch.setattr(Path, "open", refuse)
    assert run_arguments(["--model", str(conditional)]) == 1
    assert (
        capsys.readouterr().err == f"mnist-sample: cannot read model file {conditional}: Permission denied\n"
    )


def test_a_graph_that_only_onnxruntime_refuses(tmp_path: Path) -> None:
    def edit(model: ModelProto) -> None:
        model.opset_import[0].version = 999

    path = Standin().save(tmp_path / "edited.onnx", edit)
    with pytest.raises(ModelFileError, match=r"onnxruntime .* cannot load .*; upgrade onnxruntime, or make"):
        Sampler(path, "cpu")


@pytest.mark.parametrize("provider", ["cpu", "auto"])
def test_a_file_cannot_steer_the_terminal_through_onnxruntime(tmp_path: Path, provider: Any) -> None:
    """Its errors quote the names of nodes, which are a stranger's."""

    def edit(model: ModelProto) -> None:
        model.graph.node.append(helper.make_node("Tanh", ["label"], ["unused"], name="\x1b[2J\x1b[31mdone"))

    path = Standin().save(tmp_path / "edited.onnx", edit)
    with pytest.raises(ModelFileError, match=r"cannot load .*\?\[2J\?\[31mdone") as raised:
        Sampler(path, provider)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", ["\x1b[2J\x07red.onnx", "gone.onnx\nmnist-sample: all is well"])
def test_a_file_s_name_cannot_steer_the_terminal(
    conditional: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / name
    assert run_arguments(["--model", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.endswith(" does not exist: check the path\n")
    assert said.removesuffix("\n").isprintable()
    path.write_bytes(conditional.read_bytes())
    assert run_arguments(["--model", str(path), "--info"]) == 0
    assert all(line.isprintable() for line in capsys.readouterr().out.split("\n"))


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have(name: str) -> None:
    with pytest.raises(ModelFileError, match=r"^(no file can be named|.* does not exist)"):
        Sampler(name)


def _use_every_operator(model: ModelProto) -> None:
    """Put a detour through the operators that the stand-in lacks in front of its pixels."""
    graph = model.graph
    (to_pixels,) = (node for node in graph.node if node.name == "" and node.output[0] == "maps_28")
    (dense,) = (node for node in graph.node if node.output[0] == "dense")
    square = np.eye(196, dtype=np.float32)
    point = np.ones((1, 1, 1, 1), np.float32)
    for name, value in (
        ("square", square),
        ("point", point),
        ("axis_1", np.array([1])),
        ("pick", np.array([0])),
        ("low", np.array(-9, np.float32)),
        ("high", np.array(9, np.float32)),
    ):
        graph.initializer.append(numpy_helper.from_array(value, name))
    dense.output[0], to_pixels.output[0] = "before", "d0"
    detour = [
        helper.make_node("Concat", ["d0", "d0"], ["d1"], axis=1),
        helper.make_node("Gather", ["d1", "pick"], ["d5"], axis=1),
        helper.make_node("Transpose", ["d5"], ["d6"], perm=[0, 1, 3, 2]),
        helper.make_node("ConvTranspose", ["d6", "point"], ["d7"], kernel_shape=[1, 1]),
        helper.make_node("Unsqueeze", ["d7", "axis_1"], ["d8"]),
        helper.make_node("Squeeze", ["d8", "axis_1"], ["d9"]),
        helper.make_node("LeakyRelu", ["d9"], ["d10"], alpha=1.0),
        helper.make_node("Transpose", ["d10"], ["d11"], perm=[0, 1, 3, 2]),
        helper.make_node("Clip", ["d11", "low", "high"], ["maps_28"]),
    ]
    at = list(graph.node).index(to_pixels)
    nodes = [*graph.node[: at + 1], *detour, *graph.node[at + 1 :]]
    product = helper.make_node("MatMul", ["before", "square"], ["dense"])
    nodes.insert(nodes.index(dense) + 1, product)
    del graph.node[:]
    graph.node.extend(nodes)


def test_every_allowed_operator_runs(tmp_path: Path, conditional: Path) -> None:
    path = Standin().save(tmp_path / "every.onnx", _use_every_operator)
    used = {node.op_type for node in onnx.load(path).graph.node}
    assert used == contract.OPERATORS
    plain = Sampler(conditional, "cpu").sample(20)
    detoured = Sampler(path, "cpu").sample(20)
    np.testing.assert_array_equal(plain.images, detoured.images)
