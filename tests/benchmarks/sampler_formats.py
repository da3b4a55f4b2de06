"""MNIST's 60,000 digits as an IDX folder and as PNGs, beside the PNG encoder alone on all cores.

    python -m tests.benchmarks.sampler_formats [MODEL] [N]

Targets: the IDX folder in a few seconds; the PNGs in little more than drawing and encoding take.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from mnist_sample.modelfile import read_model
from mnist_sample.png import FAST, encode_png
from mnist_sample.pngworker import write_chunk
from mnist_sample.sampler import Sampler
from tests.benchmarks.arguments import Count, Model, start
from tests.benchmarks.rounds import (
    MNIST_SAMPLE,
    Usage,
    describe,
    median,
    ratios,
    run_here,
    run_process,
    take_turns,
)

ROUNDS = 3
N = 60_000
CPUS = len(os.sched_getaffinity(0))
DISTINCT = 1000
TEXT = {
    "Software": "mnist-sample 0.1.0",
    "seed": "0",
    "truncation": "1.0",
    "provider": "cpu",
    "model_sha256": "0" * 64,
    "index": "12345",
    "digit": "7",
}


def encode_many(pictures: list[bytes], n: int) -> None:
    """Encode pictures and throw the files away; runs in a worker process."""
    for at in range(n):
        encode_png(pictures[at % len(pictures)], 28, TEXT, FAST)


def write_many(pictures: list[bytes], n: int, folder: str) -> None:
    """Encode and write pictures; runs in a worker process."""
    for first in range(0, n, DISTINCT):
        count = min(DISTINCT, n - first)
        names = [f"{at:08d}.png" for at in range(first, first + count)]
        write_chunk((folder, names, b"".join(pictures[:count]), 28, [TEXT] * count))


def on_all_cores(pool: ProcessPoolExecutor, work: Callable[..., None], *arguments: Sequence[object]) -> Usage:
    """Run `work` once for each core; CPU time of the workers is not known here."""
    return run_here(lambda: list(pool.map(work, *arguments)))


def main(path: Model = None, n: Count = N) -> None:
    """Print seconds and ratios."""
    model = read_model(path)
    sampler = Sampler(model.path, "cpu")
    pictures = [image.tobytes() for image in sampler.sample(DISTINCT).images]
    command = [*MNIST_SAMPLE, "--model", str(model.path), "--provider", "cpu", "--n", str(n)]

    def folder_of(*options: str) -> Usage:
        with tempfile.TemporaryDirectory() as folder:
            return run_process([*command, *(option.format(folder) for option in options)])

    def drawing() -> Usage:
        return run_here(lambda: [None for _ in sampler.stream(n)])

    with ProcessPoolExecutor(CPUS, get_context("spawn")) as pool:
        share = [n // CPUS] * CPUS

        def encoding() -> Usage:
            return on_all_cores(pool, encode_many, [pictures] * CPUS, share)

        def writing() -> Usage:
            with tempfile.TemporaryDirectory() as folder:
                folders = [f"{folder}/{at}" for at in range(CPUS)]
                for made in folders:
                    Path(made).mkdir()
                return on_all_cores(pool, write_many, [pictures] * CPUS, share, folders)

        usages = take_turns(
            {
                "mnist-sample, idx": lambda: folder_of("--out", "{}/idx", "--format", "idx"),
                "mnist-sample, folder": lambda: folder_of("--out", "{}/folder/"),
                "drawing alone": drawing,
                "encoding alone": encoding,
                "encoding and writing alone": writing,
            },
            ROUNDS,
        )
    print(f"{n} digits, {ROUNDS} rounds, {CPUS} CPUs: seconds, median [range]")
    walls = {name: [usage.wall for usage in values] for name, values in usages.items()}
    for name, values in walls.items():
        print(f"{name:<28} {describe(values, 2)}")
    for name in ("mnist-sample, idx", "mnist-sample, folder"):
        print(f"{name}: {median([usage.cpu for usage in usages[name]]):.2f} CPU seconds")
    bounds = {
        "drawing + encoding": ("drawing alone", "encoding alone"),
        "drawing + encoding + writing files": ("drawing alone", "encoding and writing alone"),
    }
    for name, (a, b) in bounds.items():
        bound = [x + y for x, y in zip(walls[a], walls[b], strict=True)]
        print(f"folder / ({name}): {describe(ratios(walls['mnist-sample, folder'], bound), 2)}")


if __name__ == "__main__":
    start(main)
