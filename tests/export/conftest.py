"""Exported files to look at and to break: each made once, when the first test asks for it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.export.exported import Exported, export_kind
from tests.models.checkpoints import KINDS


@pytest.fixture(scope="session")
def export_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Exported]:
    """Kind -> its export."""
    return functools.cache(lambda kind: export_kind(kind, tmp_path_factory.mktemp(kind)))


@pytest.fixture(params=KINDS)
def exported(request: pytest.FixtureRequest, export_once: Callable[[str], Exported]) -> Exported:
    """One export of each kind of generator in turn."""
    return export_once(request.param)


@pytest.fixture(scope="session")
def digits(export_once: Callable[[str], Exported]) -> Exported:
    """The export of a class-conditional generator."""
    return export_once("digits")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A file that stands where the export should go."""
    path = tmp_path / "gen.onnx"
    path.write_bytes(b"what stood here")
    return path
