"""Runs an export, or proves an existing file again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from torch import nn

from export.checks import CHECKS, Candidate, Finding
from export.checks.candidate import refuse_without_cuda
from export.checks.metadata import check_differences, check_metadata
from export.checks.whole import check_sampler
from export.convert import annotate, build_graph, count_operations, describe
from export.errors import CheckpointRefusedError, ExportError, SamplerRefusedError, ValueMismatchError
from export.interruption import raise_if_interrupted, unwinding
from mnist_sample import contract
from mnist_sample.errors import OutputError
from mnist_sample.files import check_target, write_atomically
from models import checkpoint as checkpoints
from models.checkpoint import Checkpoint

Report = Callable[[Finding], None]


@dataclass(frozen=True)
class Options:
    """What a user can choose.

    Attributes:
        opset: of the standard domain.
        atol: the largest difference of `sample` from PyTorch's in float64.
        provider: `cpu` or `cuda`, where onnxruntime runs for the comparisons.
    """

    opset: int
    atol: float
    provider: str


def export(source: Path, target: Path, options: Options, report: Report) -> None:
    """Write `target` from the checkpoint `source` if every check holds; else leave it as it was.

    Raises:
        ExportError: the class says which check failed.
        OutputError: the target cannot be written.
        ProviderError: CUDA was asked for and does not work here.
        UsageError: the target is the checkpoint.
    """
    check_target(target, [source])
    if options.provider == "cuda":
        refuse_without_cuda()
    checkpoint, sha256, generator = _load(source, report)
    content = make_verified(checkpoint, sha256, generator, options, report)
    raise_if_interrupted()
    try:
        with unwinding():
            write_atomically(target, content)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}") from error


def check(source: Path, target: Path, options: Options, report: Report) -> None:
    """Prove that `target` stands for the checkpoint `source`, writing nothing.

    Raises:
        ExportError: the class says which check failed.
        ProviderError: CUDA was asked for and does not work here.
    """
    if options.provider == "cuda":
        refuse_without_cuda()
    checkpoint, sha256, generator = _load(source, report)
    content = _read_bounded(target)
    candidate = _make_candidate(content, checkpoint, sha256, generator, options)
    try:
        check_sampler(candidate)  # first of all, since ONNX's own reading may take hours, or all memory
    except SamplerRefusedError as error:
        raise SamplerRefusedError(f"{target}: {error}") from error
    report(check_differences(candidate, run_checks(candidate, report)))


def make_verified(
    checkpoint: Checkpoint, sha256: str, generator: nn.Module, options: Options, report: Report
) -> bytes:
    """Return the bytes of a file for which every check held.

    Raises:
        ExportError: the class says which check failed.
    """
    model = build_graph(checkpoint, generator, options.opset)
    _refuse_infinite(model)
    report(
        Finding(
            "folding",
            f"{count_operations(checkpoint, generator)} operations as traced, "
            f"{len(model.graph.node)} nodes after folding",
        )
    )
    draft = annotate(model, describe(checkpoint, sha256, {}))
    candidate = replace(_make_candidate(draft, checkpoint, sha256, generator, options), draft=True)
    figures = run_checks(candidate, report)
    content = annotate(model, describe(checkpoint, sha256, figures))
    # Only the metadata is new since the checks, so only what reads it is asked again.
    finished = _make_candidate(content, checkpoint, sha256, generator, options)
    check_metadata(finished)
    check_sampler(finished)
    return content


def _refuse_infinite(model: onnx.ModelProto) -> None:
    """Refuse a graph with which nothing can be compared, before it is refused for less telling reasons.

    Raises:
        ValueMismatchError: a constant is no finite number, as folding makes it of weights that are too large.
    """
    for tensor in model.graph.initializer:
        inside = tensor.data_location == onnx.TensorProto.DEFAULT
        if inside and not np.isfinite(onnx.numpy_helper.to_array(tensor)).all():
            raise ValueMismatchError(
                f"{tensor.name} is not finite: the checkpoint's weights are too large; train it again"
            )


def run_checks(
    candidate: Candidate, report: Report, checks: Iterable[Callable[[Candidate], Finding]] = CHECKS
) -> dict[str, float]:
    """Run the checks in order and return the figures to keep: what was compared -> largest difference.

    Raises:
        ExportError: of the first check that fails.
    """
    figures: dict[str, float] = {}
    for run_check in checks:
        raise_if_interrupted()
        finding = run_check(candidate)
        report(finding)
        figures |= {name: float(f"{value:.1e}") for name, value in finding.figures.items()}
    return figures


def _read_bounded(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(contract.MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ExportError(f"cannot read {path}: {error.strerror}; check the path") from error
    if len(content) > contract.MAX_FILE_BYTES:
        raise ExportError(f"{path} is larger than {contract.MAX_FILE_BYTES >> 20} MiB, the most that is read")
    return content


def _load(source: Path, report: Report) -> tuple[Checkpoint, str, nn.Module]:
    """Read and build the checkpoint: the first check."""
    try:
        checkpoint, sha256 = checkpoints.read(source)
    except checkpoints.CheckpointError as error:
        raise CheckpointRefusedError(str(error)) from error
    weights = sum(tensor.numel() for tensor in checkpoint.weights.values())
    report(Finding("checkpoint", f"{checkpoint.architecture}, {weights:,} weights, SHA-256 {sha256[:12]}"))
    return checkpoint, sha256, checkpoint.build_generator()


def _make_candidate(
    content: bytes, checkpoint: Checkpoint, sha256: str, generator: nn.Module, options: Options
) -> Candidate:
    return Candidate(
        content=content,
        checkpoint=checkpoint,
        sha256=sha256,
        generator=generator,
        atol=options.atol,
        provider=options.provider,
        seed=int(sha256[:8], 16),
        fresh_seed=secrets.randbits(32),
    )
