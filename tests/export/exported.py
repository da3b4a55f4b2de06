"""An export with all that tests want to know of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import onnx

from export.checks import Candidate, Finding
from export.command import DEFAULT_ATOL
from export.convert import annotate, build_graph, describe
from export.run import Options, export
from mnist_sample import contract
from models import checkpoint as checkpoints
from models.checkpoint import Checkpoint
from tests.models.checkpoints import make_checkpoint

OPTIONS = Options(opset=contract.OPSET, atol=DEFAULT_ATOL, provider="cpu")


@dataclass(frozen=True)
class Exported:
    """A checkpoint, the file made of it, and what the command reported.

    Attributes:
        source: the checkpoint's path.
        path: the exported file's path.
        findings: the report's lines.
    """

    source: Path
    path: Path
    findings: tuple[Finding, ...]

    @cached_property
    def content(self) -> bytes:
        """The file's bytes."""
        return self.path.read_bytes()

    @property
    def model(self) -> onnx.ModelProto:
        """The file parsed, anew for each caller."""
        return onnx.load_from_string(self.content)

    @property
    def metadata(self) -> dict[str, str]:
        return {entry.key: entry.value for entry in self.model.metadata_props}

    @cached_property
    def candidate(self) -> Candidate:
        """What the checks get."""
        checkpoint, sha256 = checkpoints.read(self.source)
        return Candidate(
            content=self.content,
            checkpoint=checkpoint,
            sha256=sha256,
            generator=checkpoint.build_generator(),
            atol=OPTIONS.atol,
            provider=OPTIONS.provider,
            seed=1,
            fresh_seed=2,
        )

    def with_content(self, content: bytes) -> Candidate:
        """Return a candidate of the same checkpoint with other bytes."""
        return replace(self.candidate, content=content)


def build(checkpoint: Checkpoint) -> Candidate:
    """Return a file of the checkpoint that no check has seen."""
    generator, sha256 = checkpoint.build_generator(), "0" * 64
    model = build_graph(checkpoint, generator, OPTIONS.opset)
    content = annotate(model, describe(checkpoint, sha256, {}))
    return Candidate(content, checkpoint, sha256, generator, OPTIONS.atol, OPTIONS.provider, 1, 2, draft=True)


def export_kind(kind: str, folder: Path) -> Exported:
    """Export an untrained generator of the kind into a folder."""
    source, path = folder / "gen.pt", folder / "gen.onnx"
    source.write_bytes(checkpoints.encode(make_checkpoint(kind)))
    findings: list[Finding] = []
    export(source, path, OPTIONS, findings.append)
    return Exported(source, path, tuple(findings))
