"""What bounds the images per second of a machine, each measured by itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import torch

from mnist_sample import contract
from mnist_sample.modelfile import ModelFile
from mnist_sample.randomness import draw_latents
from mnist_sample.sampler import count_cpus
from tests.benchmarks.rounds import median
from tests.gpu.timing import measure_rates

SECONDS: Final = 0.2
PICTURE_BYTES: Final = contract.IMAGE_SIZE**2
FLOAT_BYTES: Final = 4
LABEL_BYTES: Final = 8
BATCH: Final = 1024
BIG: Final = {"cuda": (8192, 2**28), "cpu": (512, 2**22)}
"""Side of the matrices, and floats of the arrays, that are long enough to reach a device's full speed."""


def measure_limits(model: ModelFile, device: str) -> dict[str, float]:
    """Return images per second that each resource would allow if nothing else took time."""
    side, floats = BIG[device]
    flops = _rate(lambda: _multiply(side, device), 2.0 * side**3)
    moved = _rate(lambda: _copy(floats, device, device), 2.0 * FLOAT_BYTES * floats)
    down = _rate(lambda: _copy(floats // 4, device, "cpu"), float(FLOAT_BYTES * (floats // 4)))
    return {
        "arithmetic": flops / (2 * model.cost.multiplies),
        # Each node reads what the one before it wrote; weights stay in the caches.
        "memory, node by node": moved / (2 * FLOAT_BYTES * model.cost.elements),
        "memory, all nodes in one": moved
        / (FLOAT_BYTES * model.latent_dim + LABEL_BYTES * bool(model.classes) + PICTURE_BYTES),
        "pictures to the host": down / PICTURE_BYTES,
        "latents, one thread": _draw_rate(model, 1),
        f"latents, {count_cpus()} threads": _draw_rate(model, count_cpus()),
    }


def _rate(prepare: Callable[[], Callable[[], object]], units: float) -> float:
    """Return units per second."""
    return median(measure_rates({"": prepare()}, 1, SECONDS)[""]) * units


def _multiply(side: int, device: str) -> Callable[[], object]:
    torch.backends.cuda.matmul.allow_tf32 = False
    matrix = torch.randn(side, side, device=device)
    return _waiting(lambda: matrix @ matrix, device)


def _copy(floats: int, source: str, target: str) -> Callable[[], object]:
    values = torch.ones(floats, device=source)
    copied = torch.empty(floats, device=target, pin_memory=source != target)
    return _waiting(lambda: copied.copy_(values), source)


def _waiting(work: Callable[[], object], device: str) -> Callable[[], object]:
    def wait() -> None:
        work()
        if device == "cuda":
            torch.cuda.synchronize()

    return wait


def _draw_rate(model: ModelFile, threads: int) -> float:
    with ThreadPoolExecutor(threads) as pool:

        def work() -> None:
            list(
                pool.map(lambda at: draw_latents(0, at * BATCH, BATCH, model.latent_dim), range(4 * threads))
            )

        return median(measure_rates({"": work}, 4 * threads * BATCH, SECONDS)[""])
