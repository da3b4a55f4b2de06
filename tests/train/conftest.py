"""Digits to train on, and a finished run to look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.train.idx_files import write_folder
from tests.train.running import begin


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 48 labelled images of three classes."""
    return write_folder(tmp_path_factory.mktemp("data") / "boxes")


@pytest.fixture(scope="session")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished, uninterrupted run of six steps."""
    folder = begin(data, tmp_path_factory.mktemp("runs") / "finished")
    assert folder is not None
    return folder
