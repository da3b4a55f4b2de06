"""Where a training step's time goes on the CPU, and its arithmetic beside the machine's and the tutorial's.

    python -m tests.benchmarks.train_profile [--rounds 7] [--steps 20] [--batch-size N]

A step with the default settings, but for the tutorial's batch size, and the tutorial's own loop take turns
with plain matrix products. The tutorial's loop has a process of its own, so that it meets the memory
allocator as its readers do. The digits are stand-ins, since speed does not depend on what they show. Target:
3 times the tutorial's arithmetic a second.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import cache, partial
from typing import Annotated, Any, Final

import torch
import typer
from torch import Tensor, nn

from tests.benchmarks.arguments import start
from tests.benchmarks.arithmetic import MATRIX_OPERATIONS, count_operations, multiply_matrices
from tests.benchmarks.rounds import Usage, describe, median, print_table, ratios, run_here, take_turns
from tests.benchmarks.tutorial_loop import BATCH_SIZE as TUTORIAL_BATCH_SIZE
from tests.benchmarks.tutorial_loop import TutorialLoop
from tests.train.idx_files import make_images
from train.config import DEFAULTS, TrainConfig
from train.device import has_fast_bf16
from train.distributed import World
from train.memory import keep_freed_memory
from train.state import State, make_state, set_stage
from train.step import DeviceData, train_step

CPU: Final = torch.device("cpu")
CPUS: Final = len(os.sched_getaffinity(0))
CLASSES: Final = 10
DIGITS: Final = 10_000
WARM_UP_STEPS: Final = 5

DATA: Final = "drawing the batch"
G_FORWARD: Final = "G forward"
D_UPDATE: Final = "D forward and backward, for its own update"
PENALTIES: Final = "gradient penalties, with their noise"
D_FOR_G: Final = "D forward and backward, for G's update"
G_BACKWARD: Final = "G backward"
OPTIMIZERS: Final = "both optimizers"
AVERAGE: Final = "averaged weights (EMA) and sums of losses"

Parts = dict[str, float]
"""Part of the step -> seconds."""


class Training:
    """A training of stand-in digits."""

    def __init__(self, config: TrainConfig, classes: int) -> None:
        self.config = config
        self.state = make_state(config, classes, CPU, World())
        images = torch.from_numpy(make_images(DIGITS)).unsqueeze(1)
        self.data = DeviceData(images, torch.arange(DIGITS) % classes if classes else None)

    def step(self) -> None:
        """Take one step, as the training loop does."""
        set_stage(self.state, self.config, 0.0)
        train_step(self.state, self.data, self.config, World())
        self.state.step += 1


class Timeline:
    """Splits each step of a training at what the hooks of its networks and optimizers see.

    On the CPU every operation has ended when the next begins, so the moments between them are the parts'.

    Attributes:
        rounds: the parts of the steps of each call of `run`.
    """

    def __init__(self, training: Training) -> None:
        self.rounds: list[Parts] = []
        self._training = training
        self._parts: Parts = {}
        self._last = 0.0
        self._watch(training.state)

    def _watch(self, state: State) -> None:
        def watch_optimizer(optimizer: torch.optim.Optimizer, before: str) -> None:
            optimizer.register_step_pre_hook(lambda *_: self._end(before))
            optimizer.register_step_post_hook(lambda *_: self._end(OPTIMIZERS))

        def after_generating(_module: nn.Module, _inputs: Any, fake: Tensor) -> None:
            self._end(G_FORWARD)
            fake.register_hook(lambda _gradient: self._end(D_FOR_G))

        state.generator.register_forward_pre_hook(lambda *_: self._end(DATA))
        state.generator.register_forward_hook(after_generating)
        watch_optimizer(state.optimizer_d, D_UPDATE)
        watch_optimizer(state.optimizer_g, G_BACKWARD)

    def _end(self, part: str) -> None:
        """The time since the last end was spent on `part`."""
        now = time.perf_counter()
        self._parts[part] = self._parts.get(part, 0.0) + now - self._last
        self._last = now

    def run(self, steps: int) -> Usage:
        """Take so many steps and keep their parts."""
        self._parts = {}

        def work() -> None:
            for _ in range(steps):
                self._last = time.perf_counter()
                self._training.step()
                self._end(AVERAGE)

        usage = run_here(work)
        self.rounds.append({part: seconds / steps for part, seconds in self._parts.items()})
        return usage


@cache
def start_tutorial() -> TutorialLoop:
    """Return the loop of this process, warmed up."""
    torch.set_num_threads(CPUS)
    loop = TutorialLoop()
    repeat(loop.step, WARM_UP_STEPS)
    return loop


def run_tutorial(steps: int) -> Usage:
    """Take so many steps of the tutorial's loop; called in its own process."""
    loop = start_tutorial()
    return run_here(lambda: repeat(loop.step, steps))


def repeat(work: Callable[[], object], times: int) -> None:
    for _ in range(times):
        work()


def tell_penalties_apart(whole: Parts, plain: Parts) -> Parts:
    """Split the drawing and D's update of `whole` into those of `plain`, without penalties, and the rest."""
    penalties = sum(whole[part] - plain[part] for part in (DATA, D_UPDATE))
    return {
        DATA: plain[DATA],
        G_FORWARD: whole[G_FORWARD],
        D_UPDATE: plain[D_UPDATE],
        PENALTIES: penalties,
        **{part: whole[part] for part in (D_FOR_G, G_BACKWARD, OPTIMIZERS, AVERAGE)},
    }


def print_parts(rounds: Sequence[Parts]) -> None:
    """Print what each part takes, and its share of the step."""
    print_table(
        ["part of the step", "milliseconds", "share"],
        (
            [
                part,
                describe([1e3 * parts[part] for parts in rounds], 2),
                f"{median([parts[part] / sum(parts.values()) for parts in rounds]):.1%}",
            ]
            for part in rounds[0]
        ),
    )


def print_rates(
    usages: Mapping[str, list[Usage]], operations: Mapping[str, float], images: Mapping[str, int]
) -> None:
    """Print arithmetic and images per second; the shares are of each kind of matrix product."""
    rates = {name: [operations[name] / usage.wall / 1e9 for usage in usages[name]] for name in operations}
    matrices = [name for name in rates if name not in images]
    print_table(
        ["", "10^9 operations a second", "images a second", *(f"share of the {name}" for name in matrices)],
        (
            [
                name,
                describe(rate, 0),
                describe([images[name] / usage.wall for usage in usages[name]], 0) if name in images else "",
                *(f"{median(ratios(rate, rates[matrix])):.1%}" for matrix in matrices),
            ]
            for name, rate in rates.items()
        ),
    )
    ours, tutorial = (rates[name] for name in images)
    print(f"arithmetic a second, ours / the tutorial's: {describe(ratios(ours, tutorial), 2)}, target 3")
    seconds = {name: [usage.wall / images[name] for usage in usages[name]] for name in images}
    slower, faster = seconds["the tutorial's loop"], seconds["this project's step"]
    print(f"images a second, ours / the tutorial's: {describe(ratios(slower, faster), 2)}")


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each case.")] = 7,
    steps: Annotated[int, typer.Option(min=1, help="Training steps in a turn.")] = 20,
    batch_size: Annotated[int, typer.Option(min=2, help="Of this project's step.")] = TUTORIAL_BATCH_SIZE,
) -> None:
    """Print the parts of the step, and arithmetic per second, as tables in Markdown."""
    torch.set_num_threads(CPUS)
    keep_freed_memory()
    bf16 = has_fast_bf16(CPU)
    config = replace(DEFAULTS["digits"], bf16=bf16, batch_size=batch_size)
    # Without penalties the loss takes no labels; a class adds one row of numbers to each network.
    plain_config = replace(config, objective="bce", estimate=False)
    ours, whole, plain = Training(config, CLASSES), Training(config, CLASSES), Training(plain_config, 0)
    timelines = [Timeline(whole), Timeline(plain)]
    repeat(ours.step, WARM_UP_STEPS)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other_process:
        cases: dict[str, Callable[[], Usage]] = {
            "this project's step": lambda: run_here(lambda: repeat(ours.step, steps)),
            "the tutorial's loop": lambda: other_process.submit(run_tutorial, steps).result(),
            "float32 matrix rate": multiply_matrices(torch.float32),
        }
        if bf16:
            cases["bfloat16 matrix rate"] = multiply_matrices(torch.bfloat16)
        names = list(cases)
        cases |= {f"timeline {index}": partial(t.run, steps) for index, t in enumerate(timelines)}
        usages = take_turns(cases, rounds)
    # The first parts are those of the warm-up.
    print(f"{CPUS} CPUs, {rounds} rounds of {steps} steps, batch size {batch_size}; median [range]\n")
    pairs = zip(timelines[0].rounds[1:], timelines[1].rounds[1:], strict=True)
    print_parts([tell_penalties_apart(*pair) for pair in pairs])
    counts = [steps * count_operations(step) for step in (ours.step, TutorialLoop().step)]
    counts += [MATRIX_OPERATIONS] * (len(names) - len(counts))
    images = {names[0]: steps * batch_size, names[1]: steps * TUTORIAL_BATCH_SIZE}
    print_rates(usages, dict(zip(names, counts, strict=True)), images)


if __name__ == "__main__":
    start(main)
