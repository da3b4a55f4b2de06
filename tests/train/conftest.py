"""One thread everywhere, digits to train on, and a finished run to look at."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.train.idx_files import write_folder
from tests.train.running import begin


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def hear_ctrl_c() -> Iterator[None]:
    """Hear Ctrl-C also where a shell started the tests in the background, and so told them to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
