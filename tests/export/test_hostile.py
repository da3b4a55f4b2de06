"""Files made to harm, or to pass for what they are not: one typed error each, quickly, and no traceback."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import export.run
from export import errors
from mnist_sample import contract
from tests.export.exported import OPTIONS, Exported
from tests.export.mutants import Mutant, apply_to_file
from tests.export.mutants.edits import Edit, make_node, write_constant


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
