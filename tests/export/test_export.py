"""The happy path: what is written, what is reported, and that it comes out the same again."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from export.checks import agreement, exact
from export.checks.candidate import Array, Arrays, Candidate, Finding, run_session
from export.checks.exact import check_exact
from export.checks.structure import MAX_OPSET, SLACK_BYTES, check_lean
from export.errors import (
    CheckpointRefusedError,
    ExportError,
    InexactConstantsError,
    MetadataError,
    ValueMismatchError,
)
from export.run import check, export
from mnist_sample import contract
from mnist_sample.engine import onnxruntime as ort
from mnist_sample.errors import MnistSampleError, OutputError, ProviderError, UsageError
from mnist_sample.info import describe
from mnist_sample.modelfile import read_model
from models import checkpoint as checkpoints
from models.digits import DigitsConfig
from models.registry import get_architecture
from tests.export.exported import OPTIONS, Exported, build, export_kind
from tests.models.checkpoints import make_checkpoint

PROMISED_CHECKS = (
    "checkpoint",
    "evaluation mode",
    "onnx.checker",
    "versions",
    "contract",
    "batch axis",
    "external data",
    "operators",
    "metadata",
    "values",
    "float64",
    "grey scale",
    "rows alone",
    "repeat",
    "optimisation levels",
    "reference evaluator",
)
"""What the report names, in this order."""


def ignore(_finding: object) -> None:
    pass


def test_every_check_has_its_line_in_order(exported: Exported) -> None:
    names = [finding.name for finding in exported.findings]
    assert [name for name in names if name in PROMISED_CHECKS] == list(PROMISED_CHECKS)
    assert len(set(names)) == len(names)
    assert all(finding.text and "\n" not in finding.text for finding in exported.findings)


def test_the_file_draws_what_pytorch_draws(exported: Exported) -> None:
    """Asked here with other means than the checks': rows one by one, latents of another source."""
    checkpoint = exported.candidate.checkpoint
    generator = checkpoint.build_generator()
    torch.manual_seed(77)
    latent = torch.randn(20, checkpoint.config.latent_dim)
    label = torch.arange(20) % checkpoint.config.classes if checkpoint.config.classes else None
    expected = torch.cat(
        [generator(latent[i : i + 1], *([] if label is None else [label[i : i + 1]])) for i in range(20)]
    )
    session = ort.InferenceSession(exported.path)
    inputs = {"latent": latent.numpy()} | ({} if label is None else {"label": label.numpy()})
    image, sample = run_session(session, inputs)
    np.testing.assert_allclose(sample, expected.numpy(), rtol=0, atol=1e-5)
    grey = (127.5 * expected[:, 0] + 127.5).round().numpy()
    assert image.dtype == np.uint8
    assert image.shape == (20, 28, 28)
    assert np.abs(image - grey).max() <= 1
    assert len({row.tobytes() for row in image}) == 20


def test_each_label_draws_something_else(digits: Exported) -> None:
    session = ort.InferenceSession(digits.path)
    latent = np.zeros((10, 64), np.float32)
    image, _ = run_session(session, {"latent": latent, "label": np.arange(10)})
    assert len({row.tobytes() for row in image}) == 10


def test_no_normalisation_and_no_idle_node_is_left(exported: Exported) -> None:
    kinds = Counter(node.op_type for node in exported.model.graph.node)
    assert not {"BatchNormalization", "Identity", "Constant"}.intersection(kinds)
    merged = exported.metadata["architecture"] == "digits"  # its pixels are put in their places at the end
    assert (kinds["Cast"], kinds["Reshape"], kinds["Transpose"]) == ((1, 3, 2) if merged else (1, 1, 0))


def test_the_file_is_as_small_as_its_weights(exported: Exported) -> None:
    weights = sum(len(tensor.raw_data) for tensor in exported.model.graph.initializer)
    metadata = sum(entry.ByteSize() for entry in exported.model.metadata_props)
    assert len(exported.content) - weights - metadata < SLACK_BYTES
    normalisation = ("running_mean", "running_var", "num_batches_tracked")
    learned = sum(
        tensor.numel()
        for name, tensor in exported.candidate.checkpoint.weights.items()
        if not name.endswith(normalisation)
    )
    assert weights < 1.02 * 4 * learned  # a BatchNorm's few shifts can become the many of a dense layer


def test_the_report_counts_nodes_before_and_after(exported: Exported) -> None:
    text = next(finding.text for finding in exported.findings if finding.name == "folding")
    before, after = (int(word) for word in text.split() if word.isdigit())
    assert after == len(exported.model.graph.node)
    # Without classes no embedding is fused, and making rows at once takes as many nodes as folding saves.
    architecture, classes = exported.metadata["architecture"], json.loads(exported.metadata["classes"])
    assert before == after if architecture == "digits" and not classes else before > after


def test_the_metadata_says_where_the_file_comes_from(exported: Exported) -> None:
    metadata = exported.metadata
    assert metadata["checkpoint_sha256"] == hashlib.sha256(exported.source.read_bytes()).hexdigest()
    assert json.loads(metadata["versions"])["torch"] == version("torch")
    assert json.loads(metadata["training"]) == exported.candidate.checkpoint.training
    differences = json.loads(metadata["verification"])
    assert {"onnx-float64", "torch-float64", "onnx-torch", "row-alone"} <= differences.keys()
    assert all(0 <= value <= OPTIONS.atol for value in differences.values())
    assert differences["onnx-float64"] > 0


def test_info_shows_digest_versions_and_differences(exported: Exported) -> None:
    text = describe(exported.path)
    assert exported.metadata["checkpoint_sha256"] in text
    assert f"torch: {version('torch')}" in text
    for name, value in json.loads(exported.metadata["verification"]).items():
        assert f"{name}: {value:.4g}" in text


def test_the_same_checkpoint_gives_the_same_bytes(digits: Exported, tmp_path: Path) -> None:
    assert export_kind("digits", tmp_path).content == digits.content


def test_another_checkpoint_gives_other_weights_of_the_same_form(digits: Exported) -> None:
    graph, other = digits.model.graph, build(make_checkpoint(seed=1)).model.graph
    assert other.node == graph.node
    assert [one.dims for one in other.initializer] == [one.dims for one in graph.initializer]
    assert other.initializer != graph.initializer


def test_the_newest_opset_draws_the_same(digits: Exported, tmp_path: Path) -> None:
    path = tmp_path / "gen.onnx"
    export(digits.source, path, replace(OPTIONS, opset=MAX_OPSET), ignore)
    assert onnx.load(path).opset_import[0].version == MAX_OPSET
    assert digits.model.opset_import[0].version == contract.OPSET
    inputs = digits.candidate.draw(5, 0)
    image, _ = run_session(ort.InferenceSession(path), inputs)
    assert np.array_equal(image, digits.candidate.run(inputs)[0])


def test_check_proves_a_file_without_writing(exported: Exported) -> None:
    before = exported.path.stat()
    names = []
    check(exported.source, exported.path, OPTIONS, lambda finding: names.append(finding.name))
    assert [name for name in names if name in PROMISED_CHECKS] == list(PROMISED_CHECKS)
    assert exported.path.stat() == before


def test_check_refuses_the_file_of_another_checkpoint(digits: Exported, tmp_path: Path) -> None:
    source = tmp_path / "other.pt"
    source.write_bytes(checkpoints.encode(make_checkpoint(seed=1)))
    with pytest.raises(MetadataError, match="the checkpoint says"):
        check(source, digits.path, OPTIONS, ignore)


def test_check_refuses_a_file_cut_short(digits: Exported, tmp_path: Path) -> None:
    path = tmp_path / "gen.onnx"
    path.write_bytes(digits.content[:-100])
    with pytest.raises(ExportError):
        check(digits.source, path, OPTIONS, ignore)


def test_check_reads_no_more_than_a_bounded_file(digits: Exported, tmp_path: Path) -> None:
    path = tmp_path / "gen.onnx"
    with path.open("wb") as file:
        file.truncate(contract.MAX_FILE_BYTES + 1)
    with pytest.raises(ExportError, match=r"gen\.onnx is larger than 64 MiB"):
        check(digits.source, path, OPTIONS, ignore)


def test_a_full_disk_leaves_what_stood_there(
    monkeypatch: pytest.MonkeyPatch, digits: Exported, target: Path
) -> None:
    def run_out(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", run_out)
    monkeypatch.setattr("export.run.make_verified", lambda *_: digits.content)
    with pytest.raises(OutputError, match=r"cannot write .*: No space left on device"):
        export(digits.source, target, OPTIONS, ignore)
    assert target.read_bytes() == b"what stood here"
    assert list(target.parent.iterdir()) == [target]


def test_latents_far_out_are_no_reason_to_refuse(tmp_path: Path, target: Path) -> None:
    """Weights as large as training makes them: at a thousand times the latents, float32's errors grow too."""
    checkpoint = make_checkpoint()
    for name, weight in checkpoint.weights.items():
        if name.endswith("project.weight") or "to_pixels" in name:
            weight.mul_(8)
    source = tmp_path / "gen.pt"
    source.write_bytes(checkpoints.encode(checkpoint))
    export(source, target, OPTIONS, ignore)
    assert read_model(target).architecture == "digits"


def test_layers_of_equal_weights_are_no_reason_to_refuse() -> None:
    config = DigitsConfig(hidden=8, blocks=2)
    weights = dict(get_architecture("digits").generator(config).state_dict())
    for name in weights:
        weights[name] = weights[name.replace("blocks.1.", "blocks.0.")].clone()
    checkpoint = replace(make_checkpoint(), config=config, weights=weights)
    assert check_lean(build(checkpoint))


def test_a_saturated_tutorial_generator_is_no_reason_to_refuse() -> None:
    """As one that has collapsed: usual latents show nothing of the rounding that others do."""
    checkpoint = make_checkpoint("tutorial")
    for name, weight in checkpoint.weights.items():
        if name == "output_layer.0.weight":
            weight.mul_(300)
    assert check_exact(build(checkpoint)).figures["in-float64"] < 1e-6


def test_a_file_that_nobody_would_read_is_not_written(
    digits: Exported, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = target.read_bytes()
    monkeypatch.setattr(contract, "MAX_FILE_BYTES", len(digits.content) - 1000)
    with pytest.raises(ExportError, match="the most that mnist_sample reads"):
        export(digits.source, target, OPTIONS, ignore)
    assert target.read_bytes() == before


def test_weights_that_overflow_are_called_the_checkpoints(tmp_path: Path, target: Path) -> None:
    checkpoint = make_checkpoint()
    checkpoint.weights["spread.weight"].fill_(3e38)
    source = tmp_path / "gen.pt"
    source.write_bytes(checkpoints.encode(checkpoint))
    with pytest.raises(ValueMismatchError, match="the checkpoint's weights are too large"):
        export(source, target, OPTIONS, ignore)


def test_a_tolerance_beyond_float32_is_refused_and_explained(digits: Exported, target: Path) -> None:
    with pytest.raises(ValueMismatchError, match=r"can do no better: try --atol \S+e"):
        export(digits.source, target, replace(OPTIONS, atol=1e-9), ignore)
    assert target.read_bytes() == b"what stood here"


@pytest.mark.parametrize("spoilt", [False, True])
def test_float64_tells_whose_the_error_is(
    spoilt: bool, digits: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where onnxruntime adds up in another order than PyTorch, and comes to ten times its error."""
    monkeypatch.setattr(agreement, "TOLERATED_RATIO", 0)
    monkeypatch.setattr(agreement, "DOUBTFUL_RATIO", math.inf)
    model = digits.model
    if spoilt:
        weights = next(t for t in model.graph.initializer if t.name == "gemm_1.1")
        weights.raw_data = (onnx.numpy_helper.to_array(weights) * np.float32(1.01)).tobytes()
    candidate = replace(digits.with_content(model.SerializeToString()), atol=1e-9)
    said = "The error is on the ONNX side" if spoilt else "In float64 the graph is right, .*: try --atol"
    with pytest.raises(ValueMismatchError, match=said):
        agreement.check_values(candidate)


def test_sigterm_while_the_file_is_written_leaves_none(
    monkeypatch: pytest.MonkeyPatch, digits: Exported, target: Path
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr("export.run.make_verified", lambda *_: digits.content)
    with pytest.raises(SystemExit) as ended:
        export(digits.source, target, OPTIONS, ignore)
    assert ended.value.code == 128 + signal.SIGTERM
    assert list(target.parent.iterdir()) == [target]
    assert target.read_bytes() == b"what stood here"


def test_a_nan_in_late_rows_is_seen(monkeypatch: pytest.MonkeyPatch, digits: Exported) -> None:
    run = exact._run

    def spoil(evaluator: ReferenceEvaluator, inputs: Arrays) -> Array:
        sample = run(evaluator, inputs)
        return sample * np.nan if len(sample) not in (exact.ROWS, exact.PART) else sample

    monkeypatch.setattr(exact, "_run", spoil)  # in the last part of the digits with wide latents
    with pytest.raises(InexactConstantsError, match="differs by nan"):
        exact.check_exact(digits.candidate)


def test_many_classes_are_computed_a_few_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    run = exact._run

    def count(evaluator: ReferenceEvaluator, inputs: Arrays) -> Array:
        sizes.append(len(inputs[contract.INPUT_LATENT]))
        return run(evaluator, inputs)

    monkeypatch.setattr(exact, "_run", count)
    exact.check_exact(build(make_checkpoint()))
    assert sum(sizes) > 3 * exact.PART
    assert max(sizes) <= exact.PART


@pytest.mark.parametrize("check_one", [exact.check_exact, agreement.check_reference_evaluator])
def test_a_lack_of_memory_is_no_fault_of_the_file(
    check_one: Callable[[Candidate], Finding], digits: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhaust(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ReferenceEvaluator, "run", exhaust)
    with pytest.raises(MemoryError):
        check_one(digits.candidate)


def test_an_advised_tolerance_does(digits: Exported) -> None:
    with pytest.raises(ValueMismatchError) as refused:
        agreement.check_values(replace(digits.candidate, atol=1e-9))
    advice = re.search(r"try --atol (\S+)\.$", str(refused.value))
    assert advice
    agreement.check_values(replace(digits.candidate, atol=float(advice[1])))


@pytest.mark.skipif(
    ort.get_device() == "GPU" and torch.cuda.is_available(), reason="CUDA works here, so it is not refused"
)
def test_cuda_means_cuda(digits: Exported, target: Path) -> None:
    with pytest.raises(ProviderError, match=r"^CUDA does not work here: .+: "):
        export(digits.source, target, replace(OPTIONS, provider="cuda"), ignore)
    assert target.read_bytes() == b"what stood here"


def test_a_target_that_cannot_be_written_is_named_before_the_work(digits: Exported, tmp_path: Path) -> None:
    seen: list[object] = []
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refused: dict[Path, type[MnistSampleError]] = {
        tmp_path: OutputError,
        tmp_path / "missing" / "gen.onnx": OutputError,
        digits.source / "gen.onnx": OutputError,
        Path("/dev/stdout"): OutputError,
        loop: OutputError,
        loop / "gen.onnx": OutputError,
        tmp_path / ("a" * 300): OutputError,
        digits.source: UsageError,
    }
    for path, kind in refused.items():
        with pytest.raises(kind, match=str(path)):
            export(digits.source, path, OPTIONS, seen.append)
    assert not seen
    assert digits.source.stat().st_size > 0


def test_a_folder_that_may_not_be_searched_is_named(
    monkeypatch: pytest.MonkeyPatch, digits: Exported, target: Path
) -> None:
    def refuse(_path: Path, **_options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as root_may_search_all:
        root_may_search_all.setattr(Path, "stat", refuse)
        with pytest.raises(OutputError, match=f"{target}: Permission denied"):
            export(digits.source, target, OPTIONS, ignore)


def test_a_pipe_is_not_replaced(digits: Exported, tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(OutputError, match="a device or a pipe"):
            export(digits.source, path, OPTIONS, ignore)
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_another_path_to_the_checkpoint_is_the_checkpoint(digits: Exported, tmp_path: Path) -> None:
    link = tmp_path / "gen.onnx"
    link.symlink_to(digits.source)
    with pytest.raises(UsageError, match="is read here"):
        export(digits.source, link, OPTIONS, ignore)


@pytest.mark.parametrize("kind", ["loop", "long"])
def test_a_source_that_cannot_be_opened_is_named(kind: str, tmp_path: Path) -> None:
    source = tmp_path / ("a" * 300 if kind == "long" else "loop")
    if kind == "loop":
        source.symlink_to(source)
    with pytest.raises(CheckpointRefusedError, match="cannot read checkpoint"):
        export(source, tmp_path / "gen.onnx", OPTIONS, ignore)
