"""How fast is the whole command, with its start, its randomness and its writing, and what bounds it?"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from mnist_sample import contract
from mnist_sample.sampler import Sampler, count_cpus
from tests.benchmarks.rounds import run_process
from tests.gpu.agreement import report_difference
from tests.gpu.children import SAMPLE
from tests.gpu.context import Context
from tests.gpu.report import Report

N: Final = {"cuda": 10_000_000, "cpu": 20_000}
SHARE: Final = 2
"""Variants draw this part of the images."""
ENDS: Final = 500
CHUNK: Final = 2**20
PICTURE_BYTES: Final = contract.IMAGE_SIZE**2
VARIANTS: Final = {
    "cuda": [(1, 1024), (2, 1024), (4, 1024), (8, 1024), (2, 4096), (4, 4096), (8, 4096)],
    "cpu": [(1, 128), (2, 128)],
}
"""Threads and batch sizes."""
ENOUGH: Final = 40.0
"""Seconds after which no further variant is begun."""


def measure_command(context: Context, report: Report) -> None:
    """Time the command into a file, its parts alone, and other threads and batch sizes."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        n = choose_n(context, report, folder)
        target = folder / "digits.npy"
        file_rate = time_command(context, report, n, str(target), f"--n {n} --out digits.npy")
        check_ends(context, report, target, n)
        target.unlink()
        write = time_writing(folder / "zeros", n)
    report.measure("writing alone, with its fsync", f"{write:,.0f} images/s", rate=write)
    null = time_command(context, report, n, os.devnull, f"--n {n} --out {os.devnull}")
    report.measure("into a file / into nothing", f"{file_rate / null:.2f}", ratio=file_rate / null)
    for threads, batch in VARIANTS[context.provider]:
        what = f"threads {threads}, batch {batch}, into nothing"
        if time.monotonic() - begun > ENOUGH:
            report.skip(what, "no time left")
            continue
        options = ["--threads", str(threads), "--batch-size", str(batch)]
        time_command(context, report, n // SHARE, os.devnull, what, options)


def choose_n(context: Context, report: Report, folder: Path) -> int:
    """Return how many images to draw: fewer where the disk would not hold them."""
    n = N[context.provider]
    room = int(shutil.disk_usage(folder).free * 0.8) // PICTURE_BYTES
    if room < n:
        report.skip(f"--n {n}", f"the disk of {folder} holds {room:,} images only: that many are drawn")
    return min(n, room)


def time_command(
    context: Context, report: Report, n: int, out: str, what: str, options: list[str] | None = None
) -> float:
    """Report and return images per second of one run of the command."""
    model = ["--model", str(context.model)] if context.model else []
    command = [*SAMPLE, *model, "--n", str(n), "--provider", context.provider, *(options or [])]
    usage = run_process([*command, "--format", "npy", "--out", out])
    rate = n / usage.wall
    text = (
        f"{rate:,.0f} images/s, {usage.wall:.1f} s, {usage.cpu / usage.wall:.1f} of {count_cpus()} CPUs busy"
    )
    report.measure(what, f"{text}, {usage.peak / 2**20:,.0f} MiB", rate=rate, wall=usage.wall, cpu=usage.cpu)
    return rate


def check_ends(context: Context, report: Report, target: Path, n: int) -> None:
    """Compare the file's first and last images with those that the CPU draws alone."""
    images, beside = np.load(target, mmap_mode="r"), Sampler(context.model, "cpu")
    expected = [beside.sample(ENDS, start=start).images for start in (0, n - ENDS)]
    ends = np.concatenate([images[:ENDS], images[-ENDS:]])
    report_difference(report, "the file's ends, and the CPU's samples", ends, np.concatenate(expected))


def time_writing(path: Path, n: int) -> float:
    """Return images per second of writing as many bytes, and waiting until they are on the disk."""
    chunk = bytes(CHUNK)

    def write() -> None:
        with path.open("wb") as file:
            for _ in range(n * PICTURE_BYTES // CHUNK):
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())

    rate = n / seconds_of(write)
    path.unlink()
    return rate


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
