"""Commands and functions in processes of their own."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

from tests.environment import environment

SAMPLE: Final = [sys.executable, "-m", "mnist_sample"]
TRAIN: Final = [sys.executable, "-m", "train"]
PATIENCE: Final = 60.0
"""Seconds within which a command must have ended, or a run written its first metrics."""


def run_command(
    command: list[str], variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, whatever its exit code, and catch what it says.

    One that takes longer than `PATIENCE` is ended, and says on the part's log where it was.
    """
    pipe = subprocess.PIPE
    variables = {**(variables or environment()), "PYTHONFAULTHANDLER": "1"}
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=variables) as process:
        try:
            out, said = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            out, said = process.communicate()
            print(said)
            said += f"\nnot done after {PATIENCE:.0f} s"
    return subprocess.CompletedProcess(command, process.returncode, out, said)


def run_fresh(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return `function(*arguments)`, run in a process that has not touched a GPU yet."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def is_plain_failure(done: subprocess.CompletedProcess[str]) -> bool:
    """Tell whether a command failed as it should: exit code 1 and one or two lines, no traceback."""
    return done.returncode == 1 and 1 <= len(done.stderr.strip().splitlines()) <= 2
