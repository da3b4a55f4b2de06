"""Runs things in turn, round after round, so that a busy machine is busy for all of them alike."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Name = TypeVar("Name")
MNIST_SAMPLE = [str(Path(sys.executable).with_name("mnist-sample"))]
"""The command as it was installed, with its start-up."""
WATCH = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
wall = time.perf_counter() - begun
code = os.waitstatus_to_exitcode(status)
print(json.dumps([code, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]))
"""
"""Runs a command from a small process: Linux counts in a command's peak what the one that started it had."""


@dataclass(frozen=True)
class Usage:
    """What a piece of work took: seconds on the clock, seconds of all CPUs, and bytes at its peak."""

    wall: float
    cpu: float
    peak: int = 0


def run_here(work: Callable[[], object]) -> Usage:
    """Run `work` in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Usage(time.perf_counter() - wall, time.process_time() - cpu)


def run_process(command: Sequence[str]) -> Usage:
    """Run a command, which must succeed, with its children; its peak is that of the largest process."""
    # As installed, where modules are compiled once and not at every start.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    watched = [sys.executable, "-c", WATCH, *command]
    told = subprocess.run(watched, stdout=subprocess.PIPE, env=environment, check=True).stdout
    code, wall, cpu, peak = json.loads(told)
    if code != 0:
        raise SystemExit(f"exit code {code} from {' '.join(command)}")
    return Usage(wall, cpu, peak)


def take_turns(cases: Mapping[Name, Callable[[], Usage]], rounds: int) -> dict[Name, list[Usage]]:
    """Run all cases once to warm up, then all of them in turn, `rounds` times."""
    for case in cases.values():
        case()
    usages: dict[Name, list[Usage]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            usages[name].append(case())
    return usages


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def describe(values: Sequence[float], digits: int = 3) -> str:
    """Return the median and, in brackets, the lowest and highest value."""
    return f"{median(values):,.{digits}f} [{min(values):,.{digits}f} to {max(values):,.{digits}f}]"


def ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    """Return the ratio of each round."""
    return [a / b for a, b in zip(above, below, strict=True)]


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table in Markdown."""
    print(f"| {' | '.join(headings)} |\n|{' --- |' * len(headings)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)
