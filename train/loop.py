"""The training loop: reads from top to bottom."""

from __future__ import annotations

import math
import time
from typing import Any, Final

from mnist_sample.errors import MnistSampleError
from train.capture import prepare_step
from train.config import TrainConfig
from train.distributed import World
from train.interruption import Interruption, StoppedError
from train.progress import Display
from train.quality import Quality
from train.run_folder import RunFolder
from train.state import METRICS, State, is_finite, set_stage
from train.step import DeviceData

MAX_LOG_INTERVAL: Final = 50
SHEETS: Final = 24
SHEETS_PER_FIGURE: Final = 4
EXPLODED: Final = 1e4
"""A loss beyond this comes from logits so large that nothing is learned from them any more."""


class DivergedError(MnistSampleError):
    """The losses or weights are no longer finite, or exploded."""


class InterruptedRunError(StoppedError):
    """Ctrl-C or SIGTERM ended the run early."""


def train(
    state: State,
    data: DeviceData,
    config: TrainConfig,
    world: World,
    folder: RunFolder,
    display: Display,
    quality: Quality,
    save_every_seconds: float,
) -> None:
    """Train `state` to the end of the run, leaving checkpoints, metrics and pictures in `folder`.

    Raises:
        DivergedError: the losses or weights are beyond use; the last checkpoint is from before that.
        InterruptedRunError: a signal came, and the run was saved.
        KeyboardInterrupt: another one came meanwhile; the last checkpoint is whole.
        OSError: the folder cannot be written to; the last checkpoint is whole.
    """
    take_step = prepare_step(state, data, config, world)
    began = time.monotonic() - state.seconds
    saved_at = time.monotonic()
    log_interval = choose_log_interval(config)
    with Interruption() as interruption:
        fraction, stop = world.agree(fraction_done(state, config))
        while fraction < 1 and stop is None:
            set_stage(state, config, fraction)
            take_step()
            state.step += 1
            state.summed += 1
            state.seconds = time.monotonic() - began
            fraction, stop = world.agree(fraction_done(state, config), interruption.cause)

            if state.step % log_interval == 0 or fraction >= 1:
                line = read_metrics(state, config, world)
                sheets = count_sheets(fraction)
                if world.is_writer:
                    record(state, line, sheets, folder, quality)
                    display.show(line, fraction)
                state.sheets = sheets
            if stop is not None:
                world.sum_(state.sums)
                check_losses(state)
            due = time.monotonic() - saved_at >= save_every_seconds and is_sound(state, world)
            if world.is_writer and (due or stop is not None or fraction >= 1):
                save(state, folder)
                saved_at = time.monotonic()
    if stop is not None and fraction < 1:
        raise InterruptedRunError(f"stopped at step {state.step}, all of it saved", stop)


def record(state: State, line: dict[str, Any], sheets: int, folder: RunFolder, quality: Quality) -> None:
    """Write a line of metrics and the sheet that is due; with every fourth the figure, put into the line."""
    if sheets > state.sheets:
        folder.draw(state)
        if sheets // SHEETS_PER_FIGURE > state.sheets // SHEETS_PER_FIGURE:
            line |= quality(state)
    folder.log(line)


def fraction_done(state: State, config: TrainConfig) -> float:
    """Return how much of the run is done, from 0 to 1: of its steps or of its time, whichever is more."""
    of_steps = state.step / config.steps if config.steps else 0.0
    of_time = state.seconds / (60 * config.minutes) if config.minutes else 0.0
    return min(1.0, max(of_steps, of_time))


def choose_log_interval(config: TrainConfig) -> int:
    """Return after how many steps the losses are read: the device is waited for only then."""
    return max(1, min(MAX_LOG_INTERVAL, config.steps // 100)) if config.steps else MAX_LOG_INTERVAL


def count_sheets(fraction: float) -> int:
    """Return how many sheets are due by then: close together at first, when most happens."""
    return math.floor(math.sqrt(fraction) * SHEETS)


def read_metrics(state: State, config: TrainConfig, world: World) -> dict[str, Any]:
    """Return the losses' means since the last reading, over all processes, and begin anew.

    Raises:
        DivergedError: one of them is not finite, or exploded.
    """
    world.sum_(state.sums)
    means = check_losses(state)
    state.sums.zero_()
    state.summed = 0
    return {
        "step": state.step,
        "seconds": round(state.seconds, 3),
        "images_per_second": round(state.step * config.batch_size / state.seconds, 1),
        "lr": float(state.optimizer_d.param_groups[0]["lr"]),
        **means,
    }


def check_losses(state: State) -> dict[str, float]:
    """Return the losses' means since the last reading, of sums over all processes.

    Raises:
        DivergedError: one of them is not finite, or exploded.
    """
    means = dict(zip(METRICS, (state.sums / max(1, state.summed)).tolist(), strict=True))
    worst = max(means.values(), key=lambda value: abs(value) if math.isfinite(value) else math.inf)
    if not abs(worst) < EXPLODED:
        raise DivergedError(f"the run diverged before step {state.step}: a loss is {worst:.3g}")
    return means


def is_sound(state: State, world: World) -> bool:
    """Tell whether the losses since the last reading are known to be no reason against a checkpoint.

    A reading may be many slow steps away. The losses of several processes are added up only there.
    """
    if state.summed == 0:
        return True
    return world.size == 1 and bool((state.sums.abs() < EXPLODED * state.summed).all())


def save(state: State, folder: RunFolder) -> None:
    """Save the run, but never weights that are beyond use.

    Raises:
        DivergedError: a weight is not finite.
    """
    if not is_finite(state):
        raise DivergedError(f"the run diverged at step {state.step}: a weight is not finite")
    folder.save(state)
