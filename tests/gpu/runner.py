"""Runs a part in a process of its own, for no longer than it was given."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.gpu.context import Context
from tests.gpu.report import Line, Report, read_lines


@dataclass(frozen=True)
class Part:
    """One part of the run.

    Attributes:
        name: of its files and on the command line.
        title: what it is about.
        work: looks at things, and reports each.
        seconds: what it may take.
        samples: whether it needs CUDA in onnxruntime.
        trains: whether it needs CUDA in PyTorch.
    """

    name: str
    title: str
    work: Callable[[Context, Report], None]
    seconds: float
    samples: bool = False
    trains: bool = False

    def find_problem(self, context: Context) -> str:
        """Return why its CUDA half cannot be seen here; empty where it can."""
        sampling = context.sampling_problem if self.samples else ""
        return sampling or (context.training_problem if self.trains else "")


def run_part(part: Part, context: Context, seconds: float) -> list[Line]:
    """Run a part for at most so many seconds and return what it left, its failure included."""
    path = context.out / f"{part.name}.json"
    path.unlink(missing_ok=True)
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(part, context, path))
    begun = time.monotonic()
    process.start()
    try:
        process.join(seconds)
        lines = read_lines(path)
        if process.exitcode is None:
            lines.append(Line("the rest", "not run", f"stopped after {seconds:.0f} s, its time"))
        elif process.exitcode != 0:
            lines.append(Line("the rest", "FAILS", f"the process ended with {process.exitcode}"))
    finally:
        _end(process.pid)
        process.kill()  # it may not have got as far as to lead a group of its own
        process.join()
    if problem := part.find_problem(context):
        lines.append(Line("all this on CUDA", "not run", problem))
    lines.append(Line("time", "measured", f"{time.monotonic() - begun:.0f} s"))
    return lines


def _work(part: Part, context: Context, path: Path) -> None:
    """Do the part's work in this process; whatever it writes or raises ends up in its files."""
    os.setsid()  # its own children end with it
    log = os.open(context.out / f"{part.name}.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    report = Report(path)
    try:
        part.work(context, report)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        first = (str(error).strip().splitlines() or [""])[0][:200]
        report.check("the rest", False, f"{type(error).__name__}: {first} (see {part.name}.log)")
    sys.stdout.flush()


def _end(leader: int | None) -> None:
    """End what is left of a part's processes."""
    assert leader is not None
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
