"""Does a step captured as a CUDA graph train as the plain one does, and how much faster?"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch

from tests.benchmarks.train_records import SECOND_OBJECTIVE
from tests.gpu.context import Context
from tests.gpu.report import Report
from tests.train.idx_files import make_images
from train.capture import WARM_UP_STEPS, CapturedStep
from train.config import DEFAULTS, TrainConfig
from train.device import has_fast_bf16
from train.distributed import World
from train.start import HEAD_START
from train.state import State, make_state, set_stage
from train.step import DeviceData, train_step

CLASSES: Final = 10
IMAGES: Final = 6000
STEPS: Final = WARM_UP_STEPS + 10
TIMED: Final = {"cuda": 500, "cpu": 5}
BATCHES: Final = (128, 512, 2048)
DEFAULT: Final = DEFAULTS["digits"]
SECOND: Final = replace(DEFAULT, settle=0.0, head_start=HEAD_START, **SECOND_OBJECTIVE)
"""As the second run of the shipped generator: the settings whose arithmetic a default step has not."""
NOISE: Final = 3.0
"""How much further off than another plain run, which may add up in another order, a captured one may be."""
FLOOR: Final = 0.01
"""What share of the way that the weights went is no difference, where two plain runs are equal to the bit."""

TakeStep = Callable[[], None]


def compare_steps(context: Context, report: Report) -> None:
    """Train the same steps captured and plain, compare the weights, and time both."""
    if context.device == "cpu":
        time_steps(replace(DEFAULT, device="cpu"), report, captured=False)
        return
    for name, config in (("default", DEFAULT), ("second run's", SECOND)):
        check_weights(name, replace(config, device="cuda"), report)
    for batch in BATCHES:
        for captured in (False, True):
            time_steps(replace(DEFAULT, batch_size=batch, device="cuda"), report, captured)
    time_steps(replace(SECOND, batch_size=512, device="cuda"), report, captured=True)


def check_weights(name: str, config: TrainConfig, report: Report) -> None:
    """Compare the generator's weights after the same steps."""
    begun, plain, again, captured = (
        flatten(walk(config, captured, steps))
        for captured, steps in ((False, 0), (False, STEPS), (False, STEPS), (True, STEPS))
    )
    way, noise, apart = (
        float((one - two).abs().mean()) for one, two in ((plain, begun), (plain, again), (plain, captured))
    )
    report.check(
        f"captured and plain, {STEPS} steps, {name} settings",
        apart <= max(NOISE * noise, FLOOR * way),
        f"weights moved by {way:.1e}; two plain runs are {noise:.1e} apart, a captured one {apart:.1e}",
        way=way,
        noise=noise,
        apart=apart,
    )


def walk(config: TrainConfig, captured: bool, steps: int) -> State:
    """Return the state after so many steps from the start."""
    state, take_step, config = prepare(config, captured)
    for step in range(steps):
        set_stage(state, config, step / steps)
        take_step()
        state.step += 1
    torch.cuda.synchronize()
    return state


def flatten(state: State) -> torch.Tensor:
    """Return the generator's weights as one vector."""
    return torch.cat([weight.detach().flatten() for weight in state.generator.parameters()])


def prepare(config: TrainConfig, captured: bool) -> tuple[State, TakeStep, TrainConfig]:
    """Return a new state, what takes a step of it, and its settings on its device."""
    device, world = torch.device(config.device), World()
    config = replace(config, bf16=has_fast_bf16(device))
    images = torch.from_numpy(make_images(IMAGES)).unsqueeze(1).to(device)
    data = DeviceData(images, torch.arange(IMAGES, device=device) % CLASSES)
    state = make_state(config, CLASSES, device, world)

    def take_step() -> None:
        train_step(state, data, config, world)

    if captured:
        take_step = CapturedStep(take_step, state.random, lambda: state.generator.training)
    return state, take_step, config


def time_steps(config: TrainConfig, report: Report, captured: bool) -> None:
    """Report milliseconds per step."""
    state, take_step, config = prepare(config, captured)
    set_stage(state, config, 0.0)
    for _ in range(WARM_UP_STEPS + 1):
        take_step()
    steps = TIMED[config.device]
    float(state.sums.sum())  # waits for the device
    begun = time.perf_counter()
    for _ in range(steps):
        take_step()
    float(state.sums.sum())
    seconds = (time.perf_counter() - begun) / steps
    settings = ", entropy and legible" if config.entropy else ""
    report.measure(
        f"{'captured' if captured else 'plain'} step, batch {config.batch_size}{settings}",
        f"{1000 * seconds:.3f} ms, {config.batch_size / seconds:,.0f} images/s",
        milliseconds=1000 * seconds,
    )
