"""Exported files to look at and to break: made once for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.export.exported import Exported, export_kind
from tests.models.checkpoints import KINDS


@pytest.fixture(scope="session")
def all_exported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """Kind -> its export."""
    return {kind: export_kind(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture(params=KINDS)
def exported(request: pytest.FixtureRequest, all_exported: dict[str, Exported]) -> Exported:
    """One export of each kind of generator in turn."""
    return all_exported[request.param]


@pytest.fixture
def digits(all_exported: dict[str, Exported]) -> Exported:
    """The export of a class-conditional generator."""
    return all_exported["digits"]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file that stands where the export should go."""
    path = tmp_path / "gen.onnx"
    path.write_bytes(b"what stood here")
    return path
