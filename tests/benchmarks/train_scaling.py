"""Training throughput of 1 and 2 processes with one CPU thread each, on the same global batch.

    python -m tests.benchmarks.train_scaling

The two take turns, so that a change in the machine's load meets both; the table gives medians and the
spread over the rounds.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from tests.benchmarks.arguments import start
from tests.train.children import start_together, take_rank
from tests.train.idx_files import make_images
from train.config import DEFAULTS
from train.device import has_fast_bf16
from train.distributed import join_world
from train.state import make_state, set_stage
from train.step import DeviceData, train_step

SIZES: Final = (1, 2)
ROUNDS: Final = 3
WARM_UP: Final = 5
STEPS: Final = 20
BATCH_SIZE: Final = 128
CLASSES: Final = 10


def measure(rank: int, size: int, port: int, result: Path) -> None:
    """Train `STEPS` steps as one of `size` processes; the writer leaves images per second in `result`."""
    torch.set_num_threads(1)
    take_rank(rank, size, port)
    device = torch.device("cpu")
    config = replace(DEFAULTS["digits"], batch_size=BATCH_SIZE, bf16=has_fast_bf16(device))
    images = torch.from_numpy(make_images(1000)).unsqueeze(1)
    data = DeviceData(images, torch.arange(1000) % CLASSES)
    with join_world(device) as world:
        state = make_state(config, CLASSES, device, world)
        set_stage(state, config, 0.0)
        for _ in range(WARM_UP):
            train_step(state, data, config, world)
        world.agree(0.0)  # all are here before the clock starts
        began = time.perf_counter()
        for _ in range(STEPS):
            train_step(state, data, config, world)
        seconds = time.perf_counter() - began
    if world.is_writer:
        result.write_text(str(STEPS * config.batch_size / seconds))


def main() -> None:
    """Measure both in turn and print the table."""
    speeds: dict[int, list[float]] = {size: [] for size in SIZES}
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "speed"
        for _ in range(ROUNDS):
            for size in SIZES:
                start_together(measure, [(result,)] * size)
                speeds[size].append(float(result.read_text()))
    print(f"bf16 instructions: {has_fast_bf16(torch.device('cpu'))}; {ROUNDS} rounds of {STEPS} steps")
    print("processes  images/s  lowest  highest  ratio")
    single = statistics.median(speeds[1])
    for size, found in speeds.items():
        middle = statistics.median(found)
        print(f"{size:9}  {middle:8.0f}  {min(found):6.0f}  {max(found):7.0f}  {middle / single:5.2f}")


if __name__ == "__main__":
    start(main)
