"""Files made to harm, or to pass for what they are not: one typed error each, quickly, and no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import export.run
from export import errors
from export.checks import Candidate
from export.checks.metadata import check_metadata
from export.checks.structure import check_batch_axis, check_graph, check_lean
from export.checks.whole import check_rebuild, check_sampler
from mnist_sample import contract
from mnist_sample.modelfile import seal
from tests.export.exported import OPTIONS, Exported
from tests.export.mutants import Mutant, apply_to_file, envelope
from tests.export.mutants.edits import (
    Edit,
    insert_behind,
    make_node,
    read_constant,
    replace_uses,
    write_constant,
)

VERSIONS, VERIFICATION = contract.KEY_VERSIONS, contract.KEY_VERIFICATION
MADE_BY = {"mnist-sample": "0.1.0", "onnx": "1.23.2", "onnxscript": "0.7.2", "torch": "2.14.1+cpu"}


def change(exported: Exported, edit: Edit) -> bytes:
    """Return the exported file after `edit`, with a fitting digest."""
    return apply_to_file(exported.content, Mutant("", "", edit))


def refuse(exported: Exported, content: bytes, folder: Path, error: type[errors.ExportError]) -> str:
    """See `--check` refuse the file with exactly this error, in one printable line; return it."""
    path = folder / "gen.onnx"
    path.write_bytes(content)
    with pytest.raises(errors.ExportError) as caught:
        export.run.check(exported.source, path, OPTIONS, lambda _: None)
    assert type(caught.value) is error, caught.value
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (VERSIONS, json.dumps({"a": "b"})),
        (VERSIONS, json.dumps({"torch": MADE_BY["torch"]})),
        (VERSIONS, json.dumps(MADE_BY | {"more": "1"})),
        (VERSIONS, json.dumps(MADE_BY | {"torch": "newest"})),
        (VERSIONS, json.dumps(MADE_BY | {"torch": "2.14\nall is well"})),
        (VERSIONS, json.dumps(MADE_BY | {"torch": "2.14\x1b[2J"})),
        (VERSIONS, json.dumps(MADE_BY | {"torch": "2\ud800"})),
        (VERSIONS, json.dumps(MADE_BY)[:-1] + ', "torch": "2"}'),
        (VERIFICATION, "[" * 100_000),
        (VERIFICATION, json.dumps({"onnx-float64": 10**400})),
        (VERIFICATION, json.dumps({"onnx-float64": -1e-9})),
        (VERIFICATION, '{"row-alone": 0.5, "row-alone": 0.0}'),
    ],
    ids=[
        "no package",
        "a single package",
        "a package more",
        "no version",
        "two lines",
        "an escape",
        "half a character",
        "a package twice",
        "a deep list",
        "beyond a float",
        "below zero",
        "a difference twice",
    ],
)
def test_metadata_that_no_export_writes(key: str, value: str, digits: Exported) -> None:
    candidate = digits.with_content(change(digits, envelope.set_entry(key, value)))
    with pytest.raises(errors.MetadataError, match=f"^metadata {key} "):
        check_metadata(candidate)


def test_the_metadata_of_other_versions_is_accepted(digits: Exported) -> None:
    content = change(digits, envelope.set_entry(VERSIONS, json.dumps(MADE_BY | {"torch": "2.99.0"})))
    check_metadata(digits.with_content(content))
    assert "the same file again" in check_rebuild(digits.with_content(content)).text


def round_a_weight(model: onnx.ModelProto, steps: int = 1) -> None:
    """Move a weight by so many of the smallest steps."""
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data)).name
    weights = read_constant(model, largest)
    at = np.unravel_index(np.abs(weights).argmax(), weights.shape)
    weights[at] += steps * np.spacing(weights[at])
    write_constant(model, largest, weights)


def pass_on(model: onnx.ModelProto) -> None:
    """Let a value pass through one more node."""
    insert_behind(model, contract.OUTPUT_SAMPLE, make_node("Mul", "before", "one"))
    write_constant(model, "one", np.float32(1))


def tell_tales(model: onnx.ModelProto) -> None:
    model.doc_string = "FID 0.01"


def forge(digits: Exported, edit: Edit) -> Candidate:
    """Return an edited file that says that other versions made it."""

    def edit_and_say(model: onnx.ModelProto) -> None:
        edit(model)
        envelope.set_entry(VERSIONS, json.dumps(MADE_BY | {"torch": "2.99.0"}))(model)

    return digits.with_content(change(digits, edit_and_say))


def test_other_versions_may_round_weights_otherwise(digits: Exported) -> None:
    finding = check_rebuild(forge(digits, round_a_weight))
    assert finding.text.startswith("the checkpoint gives the same graph again, weights but for rounding")
    assert "torch 2.99.0 made it" in finding.text


def name_producer(model: onnx.ModelProto) -> None:
    model.producer_version = "\x1b[2J" * 1000


def move_a_bound(model: onnx.ModelProto) -> None:
    """Let `sample` leave [-1, 1] by the smallest step."""
    clip = next(node for node in model.graph.node if node.op_type == "Clip")
    write_constant(model, clip.input[2], np.nextafter(np.float32(1), np.float32(2)))


def turn_constants_round(model: onnx.ModelProto) -> None:
    constants = list(model.graph.initializer)[::-1]
    del model.graph.initializer[:]
    model.graph.initializer.extend(constants)


@pytest.mark.parametrize(
    "edit",
    [
        pass_on,
        tell_tales,
        lambda model: round_a_weight(model, 20),
        name_producer,
        move_a_bound,
        turn_constants_round,
    ],
    ids=["node", "header", "weight", "producer", "bound", "order"],
)
def test_naming_other_versions_excuses_no_other_graph(edit: Edit, digits: Exported) -> None:
    with pytest.raises(errors.RebuildError, match=r"torch 2\.99\.0 made it, .* check it with"):
        check_rebuild(forge(digits, edit))


def lengthen(content: bytes) -> bytes:
    """Write the length of the graph, field 7, in one more byte than it takes."""
    at = 0
    while True:
        number, kind = content[at] >> 3, content[at] & 7
        start = end = at + 1
        while content[end] & 0x80:
            end += 1
        value = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(content[start : end + 1]))
        if number == 7:
            padded = bytes([*content[start:end], content[end] | 0x80, 0])
            return content[:start] + padded + content[end + 1 :]
        at = end + 1 + (value if kind == 2 else 0)


def turn_metadata_round(model: onnx.ModelProto) -> None:
    entries = list(model.metadata_props)[::-1]
    del model.metadata_props[:]
    model.metadata_props.extend(entries)


def test_bytes_that_say_the_same_in_another_way_are_refused(digits: Exported) -> None:
    """Two files of one generator would have two digests."""
    longer = seal(lengthen(digits.content))
    assert onnx.load_from_string(longer).graph == digits.model.graph
    with pytest.raises(errors.LeanError, match="plain form"):
        check_lean(digits.with_content(longer))
    with pytest.raises(errors.RebuildError, match="another order"):
        check_rebuild(digits.with_content(change(digits, turn_metadata_round)))


def share_rows_by_label(model: onnx.ModelProto) -> None:
    """Give each row the latent of the row that its label counts."""
    model.graph.node.insert(0, make_node("Gather", "latent", "label", output="picked"))
    replace_uses(model, "latent", "picked", after=0)


def compare_rows(model: onnx.ModelProto) -> None:
    """Compute the product of each row with each other."""
    model.graph.node.append(make_node("Gemm", "latent", "latent", output="pairs", transB=1))


def add_labels(model: onnx.ModelProto) -> None:
    """Add each row's label to each other's."""
    write_constant(model, "last", np.array([1]))
    model.graph.node.append(make_node("Unsqueeze", "label", "last", output="column"))
    model.graph.node.append(make_node("Add", "column", "label", output="pairs"))


def move_batch(model: onnx.ModelProto) -> None:
    model.graph.node.append(make_node("Transpose", "latent", output="turned"))


def fold_batch(model: onnx.ModelProto) -> None:
    write_constant(model, "one row", np.array([1, -1]))
    model.graph.node.append(make_node("Reshape", "latent", "one row", output="flat"))


def join_batch(model: onnx.ModelProto) -> None:
    model.graph.node.append(make_node("Concat", "latent", "latent", output="twice", axis=0))


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        (share_rows_by_label, errors.BatchMateError),
        (compare_rows, errors.SamplerRefusedError),
        (add_labels, errors.SamplerRefusedError),
        (move_batch, errors.BakedBatchError),
        (fold_batch, errors.BakedBatchError),
        (join_batch, errors.BakedBatchError),
    ],
)
def test_no_operator_can_mix_rows(edit: Edit, error: type[errors.ExportError], digits: Exported) -> None:
    """Of all that a file may hold, what can look across rows; no value of these shows in a picture."""
    candidate = digits.with_content(change(digits, edit))
    check_graph(candidate)
    with pytest.raises(error):
        (check_sampler if error is errors.SamplerRefusedError else check_batch_axis)(candidate)


def test_columns_may_be_picked(digits: Exported) -> None:
    def edit(model: onnx.ModelProto) -> None:
        write_constant(model, "columns", np.array([3, 1]))
        model.graph.node.append(make_node("Gather", "latent", "columns", output="few", axis=1))

    check_batch_axis(digits.with_content(change(digits, edit)))


def call_twice(model: onnx.ModelProto) -> None:
    """Add functions that call the one before them twice: 2**40 calls."""
    imports = [onnx.helper.make_opsetid("", contract.OPSET), onnx.helper.make_opsetid("f", 1)]
    model.opset_import.append(imports[1])
    body = [make_node("Relu", "x", output="y")]
    for level in range(40):
        model.functions.append(onnx.helper.make_function("f", f"f{level}", ["x"], ["y"], body, imports))
        calls = (("x", "between"), ("between", "y"))
        body = [make_node(f"f{level}", before, output=after, domain="f") for before, after in calls]
    model.graph.node.append(make_node("f39", "latent", output="z", domain="f"))


def join_twice(model: onnx.ModelProto) -> None:
    """Join a constant to itself again and again: 2**36 numbers."""
    write_constant(model, "joined0", np.array([1]))
    for level in range(36):
        model.graph.node.append(
            make_node("Concat", *[f"joined{level}"] * 2, output=f"joined{level + 1}", axis=0)
        )


@pytest.mark.parametrize("edit", [call_twice, join_twice])
def test_what_doubles_is_not_followed(edit: Edit, digits: Exported, tmp_path: Path) -> None:
    refuse(digits, change(digits, edit), tmp_path, errors.SamplerRefusedError)


def test_empty_nodes_are_counted_before_onnx_reads_them(digits: Exported, tmp_path: Path) -> None:
    """In two bytes each, of which 64 MiB hold so many that ONNX takes minutes."""
    content = change(digits, lambda model: model.graph.node.extend([onnx.NodeProto()] * 200_000))
    assert "fields" in refuse(digits, content, tmp_path, errors.SamplerRefusedError)


def rename(name: str) -> Callable[[onnx.ModelProto], None]:
    """Return an edit that gives the node `relu_2`, and what it makes, another name."""

    def edit(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.name == "relu_2")
        replace_uses(model, node.output[0], name)
        node.name = node.output[0] = name

    return edit


@pytest.mark.parametrize("name", ["relu\ngen.onnx holds", "relu\x1b[2J", "r" * 1000])
def test_names_that_would_steer_a_terminal(name: str, digits: Exported, tmp_path: Path) -> None:
    refuse(digits, change(digits, rename(name)), tmp_path, errors.InvalidGraphError)
