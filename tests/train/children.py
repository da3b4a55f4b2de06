"""What the tests' child processes do: train and be killed, or train together."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch

from tests.train.running import TINY
from train.session import Request, run

KILLED_WRITES = ("half a file", "before the renaming", "after the renaming")


def run_and_die(data: Path, folder: Path, settings: dict[str, Any], how: str, count: int) -> None:
    """Begin or go on with a run that is saved after each step; die while it writes its `count`th file."""
    torch.set_num_threads(1)
    if how == "half a file":
        os.fsync = _at_call(count, _write_half)  # type: ignore[assignment]
    elif how == "before the renaming":
        Path.replace = _at_call(count, _die, Path.replace)  # type: ignore[method-assign,assignment]
    elif how == "after the renaming":
        Path.replace = _at_call(count, _rename_and_die, Path.replace)  # type: ignore[method-assign,assignment]
    if (folder / "resume.pt").exists():
        run(Request(resume=folder, save_every_seconds=0))
    else:
        run(Request(str(data), folder, None, {**TINY, **settings}, save_every_seconds=0))


def _at_call(
    count: int, strike: Callable[..., NoReturn], usual: Callable[..., Any] = os.fsync
) -> Callable[..., Any]:
    """Return a function that does what `usual` does, and strikes at its `count`th call."""
    left = count

    def call(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        return usual(*arguments) if left else strike(*arguments)

    return call


def _die(*_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes no further")


def _write_half(file: int) -> NoReturn:
    os.ftruncate(file, os.fstat(file).st_size // 2)
    _die()


def _rename_and_die(path: Path, target: Path) -> NoReturn:
    os.replace(path, target)  # noqa: PTH105 - the method is what was replaced
    _die()
