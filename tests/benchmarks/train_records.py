"""Seconds of training until the digits are so many times as far from real ones as a fresh draw of real ones.

    python -m tests.benchmarks.train_records [--seeds 3] [--device cpu|cuda] [--steps N] [--second-steps N]

The figure is the Frechet distance of 10,000 digits of the averaged generator, divided by that of the real
test digits. It is taken every so many steps, and the first time below a target counts. What the clock sees:
every training step, of both runs where a second one follows, with the capture of the CUDA graph where there
is one. What it does not see: loading the data, building the networks, a few steps of another training that
wake the libraries up, and the measuring.
"""

from __future__ import annotations

import shlex
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import torch
import typer

from mnist_sample.errors import MnistSampleError
from models.checkpoint import Checkpoint
from tests.benchmarks.arguments import start
from tests.benchmarks.rounds import print_table
from train.capture import prepare_step
from train.config import TrainConfig, make_config
from train.data import Dataset, load_dataset
from train.device import choose_device, has_fast_bf16
from train.distributed import World
from train.loop import fraction_done
from train.memory import keep_freed_memory
from train.quality import Quality, make_quality
from train.session import put_on_device
from train.start import Start
from train.state import State, average_weights, make_state, set_stage

WARM_UP_STEPS: Final = 20
SECOND_OBJECTIVE: Final[dict[str, Any]] = {
    "gamma": 0.3,
    "entropy": 0.002,
    "legible": 0.15,
    "latent_std": 0.965,
}
"""What a second run, against a fresh discriminator, asks of both networks."""
SECOND: Final[dict[str, Any]] = {"batch_size": 512, "lr": 1e-3, "lr_ratio": 1.0, **SECOND_OBJECTIVE}
"""Settings of a second run: those of the README's recipe for two cores."""
MODULE: Final = "python -m tests.benchmarks.train_records"


class Record(NamedTuple):
    """When a training first fell below a target.

    Attributes:
        seconds: of training.
        step: at which it was measured, counted over both runs.
    """

    seconds: float
    step: int


def warm_up(data: Dataset, config: TrainConfig, device: torch.device) -> None:
    """Take steps of a training that is then thrown away, so that no first use of a library is timed."""
    state = make_state(config, len(data.class_names), device, World())
    take_step = prepare_step(state, put_on_device(data, config, device), config, World())
    for _ in range(WARM_UP_STEPS):
        set_stage(state, config, 0.0)
        take_step()
        state.step += 1
    wait_for(device)


def wait_for(device: torch.device) -> None:
    """Let the device end its work, so that the clock may be read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def race(
    data: Dataset,
    configs: Sequence[TrainConfig],
    device: torch.device,
    quality: Quality,
    targets: Sequence[float],
    every: int,
) -> dict[float, Record]:
    """Train until all targets are met or the runs are over; return when each one that was met was met.

    Each run but the first begins with the averaged generator of the one before, as `--start-from` does.
    """
    records: dict[float, Record] = {}
    seconds, steps = 0.0, 0
    start: Start | None = None
    for settings in configs:
        config = replace(settings, **start.settings(settings.lr_ratio)) if start else settings
        state = make_state(config, len(data.class_names), device, World())
        if start:
            start.put_into(state, data.class_names)
        for _ in advance(state, data, config, device, every):
            figures = quality(state)
            ratio = figures["frechet"] / figures["frechet_real"]
            now = Record(seconds + state.seconds, steps + state.step)
            for target in targets:
                if ratio < target:
                    records.setdefault(target, now)
            print(
                f"seed {config.seed}, step {now.step}, {now.seconds:.1f} s: {ratio:.2f} times the real",
                file=sys.stderr,
                flush=True,
            )
            if len(records) == len(targets):
                return records
        seconds, steps = seconds + state.seconds, steps + state.step
        trained = Checkpoint(config.arch, state.model, data.class_names, average_weights(state))
        start = Start(Path("the run before"), "", trained)
    return records


def advance(
    state: State, data: Dataset, config: TrainConfig, device: torch.device, every: int
) -> Iterator[None]:
    """Train to the end of the run, and pause after every so many steps, with the clock stopped."""
    take_step = prepare_step(state, put_on_device(data, config, device), config, World())
    while fraction_done(state, config) < 1:
        began = time.perf_counter()
        for _ in range(every):
            set_stage(state, config, fraction_done(state, config))
            take_step()
            state.step += 1
            if fraction_done(state, config) >= 1:
                break
        wait_for(device)
        state.seconds += time.perf_counter() - began
        yield


def describe_records(records: Sequence[Record]) -> tuple[str, str]:
    """Return mean and standard deviation of the seconds, and the mean step; a dash where there are none."""
    if not records:
        return "-", "-"
    seconds = [record.seconds for record in records]
    spread = f" ± {statistics.stdev(seconds):.1f}" if len(seconds) > 1 else ""
    return f"{statistics.mean(seconds):.1f}{spread}", f"{statistics.mean(r.step for r in records):,.0f}"


def describe_machine(device: torch.device) -> str:
    """Return what the training runs on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{torch.get_num_threads()} CPU threads, bfloat16 instructions: {has_fast_bf16(device)}"


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Trainings, of seeds from 0 up.")] = 3,
    device: Annotated[str, typer.Option(help="auto, cuda or cpu.")] = "auto",
    data: Annotated[str, typer.Option(help="Where MNIST is: auto or its folder.")] = "auto",
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the schedule.")] = None,
    second_steps: Annotated[
        int | None, typer.Option(min=1, help="Length of a second run against a fresh discriminator. [none]")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Digits per step.")] = None,
    lr: Annotated[float | None, typer.Option(help="D's learning rate at the start.")] = None,
    lr_ratio: Annotated[float | None, typer.Option(help="G's learning rate over D's.")] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of the averaged weights.")] = None,
    target: Annotated[
        list[float] | None, typer.Option(help="Times the real digits' distance; repeat it. [3, 1.5, 1]")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Steps between two measurements.")] = 100,
) -> None:
    """Race to each target and print the records as a table in Markdown."""
    keep_freed_memory()
    place = choose_device(device)
    given = {"steps": steps, "batch_size": batch_size, "lr": lr, "lr_ratio": lr_ratio, "ema": ema}
    config = make_config("digits", given | {"device": place.type})
    config = replace(config, bf16=has_fast_bf16(place))
    digits = load_dataset(data, lambda warning: print(warning, file=sys.stderr))
    if digits.kind == "folder":
        raise MnistSampleError(f"{digits.name} is not MNIST: there is nothing to compare its digits with")
    quality = make_quality(digits)
    targets = target or [3.0, 1.5, 1.0]
    warm_up(digits, config, place)
    configs = [config, replace(config, **SECOND, steps=second_steps)] if second_steps else [config]
    runs = [
        race(digits, [replace(config, seed=seed) for config in configs], place, quality, targets, every)
        for seed in range(seeds)
    ]
    lengths = " and ".join(str(config.steps) for config in configs)
    command = f"`{MODULE} {shlex.join(sys.argv[1:])}`".replace(" `", "`")
    print(f"{describe_machine(place)}; {digits.name}; {lengths} steps; measured every {every} steps\n")
    rows = []
    for goal in targets:
        met = [run[goal] for run in runs if goal in run]
        seconds, step = describe_records(met)
        rows.append([f"{goal:g}", seconds, step, f"{len(met)} of {seeds}", command])
    print_table(
        ["times the real digits' distance", "seconds, mean ± sd", "step", "seeds that got there", "command"],
        rows,
    )


if __name__ == "__main__":
    start(main)
