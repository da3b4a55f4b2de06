"""Images per second of the whole command, beside bare loops over onnxruntime and over PyTorch.

    python -m tests.benchmarks.sampler_throughput [MODEL] [N]

Targets: 0.9 of the best bare loop over `session.run` on ready-made latents; faster than PyTorch. The loop is
bounded twice: by the best that one thread can call, where the session has threads of its own, and by the
best of all, where each CPU has a loop of its own over one session, as the command itself has.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from mnist_sample import contract
from mnist_sample.engine import onnxruntime
from mnist_sample.modelfile import ModelFile, read_model
from mnist_sample.randomness import draw_labels, draw_latents
from models.registry import get_architecture
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

ROUNDS = 5
N = 200_000
CPUS = len(os.sched_getaffinity(0))
COMMAND = "mnist-sample"
LOOP_SHARE, TORCH_SHARE = 4, 40
"""Bare loops, which have no start to make up for, draw this part of the images."""
TORCH_BATCH = 512
LOOPS = {
    "one loop": [(1, CPUS, 64), (1, CPUS, 128), (1, CPUS, 512)],
    "a loop per CPU": [(CPUS, 1, 32), (CPUS, 1, 64), (CPUS, 1, 128), (CPUS, 1, 256)],
}
"""For each way: threads that call `run`, threads inside the session, batch size."""


def loop_onnxruntime(model: ModelFile, n: int, threads: int, inside: int, batch: int) -> Callable[[], Usage]:
    """Return a bare loop over `session.run` on latents and labels made beforehand."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = inside
    session = onnxruntime.InferenceSession(model.content, options, providers=["CPUExecutionProvider"])
    feeds = []
    for at in range(0, 50 * batch, batch):
        feed = {contract.INPUT_LATENT: draw_latents(0, at, batch, model.latent_dim)}
        if model.classes:
            feed[contract.INPUT_LABEL] = draw_labels(0, at, batch, len(model.classes))  # type: ignore[assignment]
        feeds.append(feed)
    steps = max(1, n // (batch * threads))

    def loop(_: int) -> None:
        for at in range(steps):
            session.run([contract.OUTPUT_IMAGE], feeds[at % len(feeds)])

    def work() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(loop, range(threads)))

    return lambda: scale(run_here(work), n / (steps * threads * batch))


def loop_torch(model: ModelFile, n: int, compiled: bool) -> Callable[[], Usage]:
    """Return a bare loop over the same architecture in PyTorch, down to grey levels, with random weights."""
    architecture = get_architecture(model.architecture)
    generator = architecture.generator(architecture.config()).eval()
    forward = torch.compile(generator) if compiled else generator
    latent = torch.from_numpy(draw_latents(0, 0, TORCH_BATCH, model.latent_dim))
    label = torch.from_numpy(draw_labels(0, 0, TORCH_BATCH, 10)) if model.classes else None
    steps = max(1, n // TORCH_BATCH)

    @torch.inference_mode()
    def work() -> None:
        for _ in range(steps):
            forward(latent, label).mul(127.5).add(127.5).round().to(torch.uint8)

    return lambda: scale(run_here(work), n / (steps * TORCH_BATCH))


def new_file(folder: str) -> str:
    """Return a path where nothing stands: taking down an old file of 160 MB costs another 30 ms."""
    path = Path(folder, "digits.npz")
    path.unlink(missing_ok=True)
    return str(path)


def scale(usage: Usage, factor: float) -> Usage:
    return Usage(usage.wall * factor, usage.cpu * factor)


def main(path: Model = None, n: Count = N) -> None:
    """Print a table of images per second and the ratios to the targets."""
    model = read_model(path)
    torch.set_num_threads(CPUS)
    cases: dict[str, Callable[[], Usage]] = {}
    with tempfile.TemporaryDirectory() as folder:
        command = [*MNIST_SAMPLE, "--model", str(model.path), "--n", str(n), "--provider", "cpu"]
        cases[COMMAND] = lambda: run_process([*command, "--out", new_file(folder)])
        for way, loops in LOOPS.items():
            for threads, inside, batch in loops:
                name = f"session.run, {way}, batch {batch}"
                cases[name] = loop_onnxruntime(model, n // LOOP_SHARE, threads, inside, batch)
        cases["torch eager"] = loop_torch(model, n // TORCH_SHARE, compiled=False)
        cases["torch.compile"] = loop_torch(model, n // TORCH_SHARE, compiled=True)
        usages = take_turns(cases, ROUNDS)
    shares = {COMMAND: 1, "torch eager": TORCH_SHARE, "torch.compile": TORCH_SHARE}
    counts = {name: n // shares.get(name, LOOP_SHARE) for name in cases}
    rates = {name: [counts[name] / usage.wall for usage in usages[name]] for name in cases}
    print(f"{n} images, {ROUNDS} rounds, {CPUS} CPUs: images/s, median [range]; CPU us per image")
    for name, values in rates.items():
        cpu = median([usage.cpu for usage in usages[name]]) / counts[name] * 1e6
        print(f"{name:<40} {describe(values, 0):<32} {cpu:6.1f}")
    best = [
        max((name for name in rates if f", {way}," in name), key=lambda name: median(rates[name]))
        for way in LOOPS
    ]
    for name, target in (*((name, 0.9) for name in best), ("torch eager", 1.0), ("torch.compile", 1.0)):
        ratio = ratios(rates[COMMAND], rates[name])
        print(f"{COMMAND} / {name}: {describe(ratio, 2)}, target {target}")


if __name__ == "__main__":
    start(main)
