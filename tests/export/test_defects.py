"""An exporter that is wrong in one way each: the right error, and no file.

`tests.export.mutation_study` does the same for every defect that it can think of.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from torch import nn

import export.checks.exact
import export.checks.whole
import export.run
from export import convert, errors
from export.checks.structure import check_lean
from mnist_sample import contract
from models.checkpoint import Checkpoint
from tests.export.exported import OPTIONS, Exported, build
from tests.export.mutants import Mutant, apply_to_file, envelope, make_mutants
from tests.export.mutants.edits import (
    insert_behind,
    make_node,
    read_constant,
    replace_uses,
    write_constant,
)
from tests.export.mutants.nodes import ignore_label
from tests.models.checkpoints import make_checkpoint

Build = Callable[[Checkpoint, nn.Module, int], onnx.ModelProto]

DEFECTS: dict[str, tuple[str, type[errors.ExportError]]] = {
    "a perturbed weight": ("gemm_1.1: one weight off by 1 %", errors.ValueMismatchError),
    "a slightly perturbed weight": (
        "conv_6.1: rounded to 16 bits of fraction",
        errors.InexactConstantsError,
    ),
    "latents clipped where none are drawn": ("latents clipped at 100", errors.ValueMismatchError),
    "a millionth of the batch mates": (
        "every row gets a little of its batch mates",
        errors.SamplerRefusedError,
    ),
    "two opsets": ("opset 19 beside it", errors.UnsupportedVersionError),
    "swapped channels": ("gemm_3.1: two entries of the first axis swapped", errors.ValueMismatchError),
    "a transposed kernel": ("conv_6.1: kernels transposed", errors.ValueMismatchError),
    "a weight that is NaN": ("gemm_3.1: one weight NaN", errors.ValueMismatchError),
    "a baked batch of 2": ("reshape_5.1: batch of 2 baked in", errors.BakedBatchError),
    "a declared batch of 2": ("image declared with a batch of 2", errors.BakedBatchError),
    "a missing output": ("sample removed", errors.ContractError),
    "a renamed output": ("image renamed", errors.ContractError),
    "outputs in another order": ("image and sample change places", errors.ContractError),
    "transposed image axes": ("image transposed", errors.GreyScaleError),
    "transposed sample axes": ("sample transposed", errors.ValueMismatchError),
    "an off-by-one in the grey scale": (
        "image 1 levels brighter",
        errors.GreyScaleError,
    ),
    "another rounding": ("round_17 (Round) left out", errors.GreyScaleError),
    "inverted ink": ("image is paper on ink", errors.GreyScaleError),
    "a negated sample": ("sample negated", errors.ValueMismatchError),
    "digits wrong that the sampler draws": (
        "stripes over digits of the sampler's latents",
        errors.ValueMismatchError,
    ),
    "digits wrong that other programs draw": (
        "stripes over digits of other latents",
        errors.ValueMismatchError,
    ),
    "the first digit wrong": ("stripes over the sampler's first digit", errors.ValueMismatchError),
    "truncated digits wrong": (
        "stripes over digits of a truncation about 0.3",
        errors.ValueMismatchError,
    ),
    "the first digit's image wrong": (
        "stripes over the image alone of the first digit",
        errors.GreyScaleError,
    ),
    "an unused label": ("label replaced by a constant", errors.ContractError),
    "a batch's mean": ("gemm_1 (Gemm) followed by the batch's mean taken off", errors.BatchStatisticsError),
    "an operator of another domain": (
        "relu_2 (Relu) followed by com.microsoft.Gelu",
        errors.InvalidGraphError,
    ),
    "another domain declared": ("com.microsoft declared", errors.OperatorError),
    "an operator without a CUDA kernel": ("round_17 (Round) replaced by Ceil", errors.OperatorError),
    "external data": ("gemm_3.1 in another file", errors.ExternalDataError),
    "a newer opset": ("opset 23", errors.UnsupportedVersionError),
    "a newer IR version": ("IR version 11", errors.UnsupportedVersionError),
    "an idle node": ("relu_2 (Relu) followed by Identity", errors.OperatorError),
    "a pair of transposes": ("relu_2 (Relu) followed by a Transpose pair", errors.BakedBatchError),
    "an activation twice": ("relu_2 (Relu) followed by Relu", errors.LeanError),
    "20 kB of notes": ("20 kB of notes", errors.LeanError),
    "a constant twice": ("a constant twice", errors.LeanError),
}
"""Defect -> the mutant's name, and the error."""


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch, digits: Exported) -> Callable[[Mutant], None]:
    """Replaces the exporter by one that makes the sound graph and then the defect, each time alike."""

    def install(mutant: Mutant) -> None:
        def build(_checkpoint: Checkpoint, _generator: nn.Module, _opset: int) -> onnx.ModelProto:
            model = digits.model
            del model.metadata_props[:]
            mutant.edit(model)
            return model

        monkeypatch.setattr(export.run, "build_graph", build)
        monkeypatch.setattr(export.checks.whole, "build_graph", build)
        monkeypatch.setattr(export.run, "count_operations", lambda *_: 0)

    return install


@pytest.fixture(scope="session")
def mutants(digits: Exported) -> dict[str, Mutant]:
    return {mutant.name: mutant for mutant in make_mutants(digits.model)}


def export_fails(exported: Exported, target: Path, error: type[errors.ExportError]) -> str:
    """Export, see exactly this error and the target untouched; return the message."""
    with pytest.raises(errors.ExportError) as caught:
        export.run.export(exported.source, target, OPTIONS, lambda _: None)
    assert type(caught.value) is error, caught.value
    assert target.read_bytes() == b"what stood here"
    assert list(target.parent.iterdir()) == [target]
    assert len(str(caught.value).splitlines()) <= 2
    return str(caught.value)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_faulty_exporter_is_found_and_writes_nothing(
    defect: str,
    faulty: Callable[[Mutant], None],
    mutants: dict[str, Mutant],
    digits: Exported,
    target: Path,
) -> None:
    name, error = DEFECTS[defect]
    faulty(mutants[name])
    export_fails(digits, target, error)


IDLE = {
    "reshape of the input": make_node("Reshape", "latent", "same", output="flat"),
    "transpose": make_node("Transpose", perm=[0, 1]),
    "clip": make_node("Clip"),
    "concat": make_node("Concat", axis=1),
    "leaky relu": make_node("LeakyRelu", alpha=0.2),
    "reshape": make_node("Reshape", "before", "same"),
}
"""Nodes that pass on what they get, but for the first behind `relu_2`; no value tells them."""


@pytest.mark.parametrize("kind", IDLE)
def test_idle_nodes_are_found(kind: str, digits: Exported) -> None:
    def edit(model: onnx.ModelProto) -> None:
        node = onnx.NodeProto()
        node.CopyFrom(IDLE[kind])
        if "reshape" in kind:
            write_constant(model, "same", np.array([0, -1]))
        if "input" in kind:
            model.graph.node.insert(0, node)
            replace_uses(model, "latent", "flat", after=0)
        else:
            insert_behind(model, "relu_2", node)

    content = apply_to_file(digits.content, Mutant("", "", edit))
    with pytest.raises(errors.LeanError, match="has no effect"):
        check_lean(digits.with_content(content))


def test_a_sample_beyond_its_range_is_found(
    faulty: Callable[[Mutant], None], digits: Exported, target: Path
) -> None:
    def edit(model: onnx.ModelProto) -> None:
        clip = next(node for node in model.graph.node if node.op_type == "Clip")
        write_constant(model, clip.input[2], np.float32(1.000001))

    faulty(Mutant("", "", edit))
    assert "beyond [-1, 1]" in export_fails(digits, target, errors.ValueMismatchError)


def test_an_old_ir_version_is_found(faulty: Callable[[Mutant], None], digits: Exported, target: Path) -> None:
    def edit(model: onnx.ModelProto) -> None:
        model.ir_version = 4

    faulty(Mutant("", "", edit))
    assert "older than opset" in export_fails(digits, target, errors.UnsupportedVersionError)


def test_a_label_that_decides_nothing_is_found(
    faulty: Callable[[Mutant], None], digits: Exported, target: Path
) -> None:
    """The label is read by the graph, so only the values can tell."""
    faulty(Mutant("", "", ignore_label))
    assert "label" in export_fails(digits, target, errors.ValueMismatchError)


def test_batch_norm_in_training_mode_is_found(
    monkeypatch: pytest.MonkeyPatch, digits: Exported, target: Path
) -> None:
    build = Checkpoint.build_generator

    def build_for_training(checkpoint: Checkpoint) -> nn.Module:
        generator = build(checkpoint)
        generator.get_submodule("normalise_maps").train()
        return generator

    monkeypatch.setattr(Checkpoint, "build_generator", build_for_training)
    assert "normalise_maps" in export_fails(digits, target, errors.BatchStatisticsError)


def test_untrue_metadata_is_found(monkeypatch: pytest.MonkeyPatch, digits: Exported, target: Path) -> None:
    def describe(*args: object) -> dict[str, str]:
        return convert.describe(*args) | {contract.KEY_ARCHITECTURE: "resnet"}  # type: ignore[arg-type]

    monkeypatch.setattr(export.run, "describe", describe)
    monkeypatch.setattr(export.run, "count_operations", lambda *_: 0)
    assert "resnet" in export_fails(digits, target, errors.MetadataError)


def test_a_missing_entry_is_found(monkeypatch: pytest.MonkeyPatch, digits: Exported, target: Path) -> None:
    def describe(*args: object) -> dict[str, str]:
        entries = convert.describe(*args)  # type: ignore[arg-type]
        del entries[contract.KEY_EVALUATION]
        return entries

    monkeypatch.setattr(export.run, "describe", describe)
    monkeypatch.setattr(export.run, "count_operations", lambda *_: 0)
    assert "evaluation" in export_fails(digits, target, errors.MetadataError)


FILE_DEFECTS: dict[str, type[errors.ExportError]] = {
    'verification {"onnx-float64": 0.0': errors.MetadataError,
    "a note": errors.RebuildError,
    "gemm_3.1: all off by half of BatchNorm's epsilon": errors.InexactConstantsError,
    "no evaluation": errors.SamplerRefusedError,
    "verification {}": errors.MetadataError,
    'training {"data": "mnist"}': errors.MetadataError,
    "gemm_1.1: one weight off by 1 %": errors.ValueMismatchError,
}


@pytest.mark.parametrize("name", FILE_DEFECTS)
def test_check_refuses_a_file_changed_and_sealed_afterwards(
    name: str, mutants: dict[str, Mutant], digits: Exported, tmp_path: Path
) -> None:
    path = tmp_path / "gen.onnx"
    path.write_bytes(apply_to_file(digits.content, mutants[name]))
    with pytest.raises(errors.ExportError) as caught:
        export.run.check(digits.source, path, OPTIONS, lambda _: None)
    assert type(caught.value) is FILE_DEFECTS[name], caught.value


@pytest.mark.parametrize(
    "name", ["gemm_3.1: two entries of the first axis swapped", "conv_6.1: kernels transposed"]
)
def test_a_wrong_weight_of_pixels_that_are_always_paper_is_found(name: str) -> None:
    """The corners of a trained generator are, but for one digit in thousands; here every pixel is."""
    checkpoint = make_checkpoint("digits")
    checkpoint.weights["to_pixels.bias"] = checkpoint.weights["to_pixels.bias"] - 1e4
    paper = build(checkpoint)
    assert (paper.run(paper.draw(64, 0))[1] == -1).all()
    (mutant,) = (each for each in make_mutants(paper.model) if each.name == name)
    assert export.checks.exact.check_exact(paper)
    with pytest.raises(errors.InexactConstantsError, match="before it is clipped"):
        export.checks.exact.check_exact(replace(paper, content=apply_to_file(paper.content, mutant)))


def test_a_wrong_weight_of_a_unit_that_a_class_keeps_asleep_is_found() -> None:
    """One digit of that class in hundreds shows it, and no digit of another class."""
    checkpoint, asleep = make_checkpoint("digits"), (3, 20)  # class and unit
    checkpoint.weights["embed.weight"][asleep] -= 2.5
    sound = build(checkpoint)
    biases = read_constant(sound.model, "gather_0.0")
    biases[asleep] *= np.float32(1.01)
    mutant = Mutant("", "", lambda model: write_constant(model, "gather_0.0", biases))
    assert export.checks.exact.check_exact(sound)
    with pytest.raises(errors.InexactConstantsError, match="before it is clipped"):
        export.checks.exact.check_exact(
            replace(sound, content=apply_to_file(sound.content, mutant), fresh_seed=3)
        )


def test_a_dilated_kernel_is_refused_before_memory_is_taken_for_it(digits: Exported) -> None:
    def dilate(model: onnx.ModelProto) -> None:
        (conv,) = (node for node in model.graph.node if node.name == "conv_6")
        kept = [attribute for attribute in conv.attribute if attribute.name not in ("dilations", "pads")]
        del conv.attribute[:]
        conv.attribute.extend(kept)
        conv.attribute.append(onnx.helper.make_attribute("dilations", [14, 14]))
        conv.attribute.append(onnx.helper.make_attribute("pads", [14, 14, 14, 14]))

    candidate = digits.with_content(apply_to_file(digits.content, Mutant("", "", dilate)))
    with pytest.raises(errors.OperatorError, match="conv_6 is dilated"):
        export.run.run_checks(candidate, lambda _: None)


def test_differences_that_nobody_measured_are_refused(digits: Exported, tmp_path: Path) -> None:
    """All names right, the numbers made up."""
    said = dict.fromkeys(json.loads(digits.metadata[contract.KEY_VERIFICATION]), 0.0)
    path = tmp_path / "gen.onnx"
    edit = envelope.set_entry(contract.KEY_VERIFICATION, json.dumps(said | {"onnx-float64": 4e-5}))
    path.write_bytes(apply_to_file(digits.content, Mutant("", "", edit)))
    with pytest.raises(errors.MetadataError, match=r"says onnx-float64 4.0e-05; measured here is"):
        export.run.check(digits.source, path, OPTIONS, lambda _: None)


def test_a_flipped_bit_is_found_by_the_digest(digits: Exported, tmp_path: Path) -> None:
    """One that changes no picture, so that only the digest can tell."""
    content = bytearray(digits.content)
    content[content.index(b"mnist-sample")] ^= 0x20
    path = tmp_path / "gen.onnx"
    path.write_bytes(content)
    with pytest.raises(errors.SamplerRefusedError, match="digest"):
        export.run.check(digits.source, path, OPTIONS, lambda _: None)
