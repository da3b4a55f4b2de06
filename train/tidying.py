"""Teaches a generator to draw its own digits without stray ink.

It begins as what it was and learns to draw, from the same latents, what it drew before, less the stray ink:
no discriminator moves it anywhere else, so its digits stay as varied as they were. A discriminator alone
leaves more specks than real digits have: a faint pixel counts for little beside strokes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from mnist_sample.errors import MnistSampleError, UsageError
from mnist_sample.files import check_target, write_atomically
from models import checkpoint
from models.checkpoint import Checkpoint, CheckpointError
from train.config import check_seed
from train.device import choose_device
from train.stray_ink import remove_stray_ink

MAX_STEPS: Final = 1_000_000
WARM_UP: Final = 0.02
"""Share of the steps in which the learning rate rises, before it falls as a cosine."""


class TidyingError(MnistSampleError):
    """The generator cannot be taught."""


@dataclass(frozen=True)
class TidyingConfig:
    """What decides how a generator is taught.

    Attributes:
        steps: updates.
        batch_size: digits per step.
        lr: the highest learning rate (Adam).
        stress: how many times more the error counts where stray ink was: it is in few pixels.
        seed: decides the latents and labels.

    Raises:
        UsageError: a value is out of range.
    """

    steps: int = 4_000
    batch_size: int = 512
    lr: float = 1e-3
    stress: float = 8.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.steps <= MAX_STEPS:
            raise UsageError(f"--steps must be from 1 to {MAX_STEPS:,}")
        check_seed(self.seed)


def tidy(path: Path, config: TidyingConfig, out: Path, advance: Callable[[int, int], None]) -> None:
    """Write the checkpoint of a generator that draws the digits of another without their stray ink.

    Args:
        path: the other's `gen.pt`.
        config: how it is taught.
        out: the checkpoint to write; never `path`.
        advance: called after each step with (steps done, steps in all).

    Raises:
        UsageError: `out` is `path`.
        OutputError: `out` is a folder, a device or a pipe, or its folder is missing.
        TidyingError: `path` cannot be read, or what was learned is no checkpoint.
        OSError: `out` cannot be written.
    """
    check_target(out, [path])
    try:
        trained, sha256 = checkpoint.read(path)
    except CheckpointError as error:
        raise TidyingError(str(error)) from error
    weights = _teach(trained, config, advance)
    training = {**trained.training, "tidied": {"sha256": sha256, **asdict(config)}}
    try:
        content = checkpoint.encode_readable(
            replace(trained, weights=weights, training=training, evaluation={})
        )
    except CheckpointError as error:
        raise TidyingError(f"{path} has learned nothing that can be kept: {error}") from error
    write_atomically(out, content)


def _teach(
    trained: Checkpoint, config: TidyingConfig, advance: Callable[[int, int], None]
) -> dict[str, Tensor]:
    """Return the weights after the last step."""
    device = choose_device(None)
    teacher = trained.build_generator().to(device)
    # BatchNorm keeps its statistics: the pupil is taught as it will be sampled.
    pupil = copy.deepcopy(teacher).requires_grad_()
    optimizer = torch.optim.Adam(pupil.parameters(), betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, total_steps=config.steps + 1, pct_start=WARM_UP, cycle_momentum=False
    )
    random = torch.Generator().manual_seed(config.seed)
    for step in range(config.steps):
        inputs = [part.to(device) for part in _draw_inputs(trained, config.batch_size, random)]
        optimizer.zero_grad()
        _error(pupil, teacher, inputs, config.stress).backward()
        optimizer.step()
        schedule.step()
        advance(step + 1, config.steps)
    return {name: tensor.detach().cpu().clone() for name, tensor in pupil.state_dict().items()}


def _draw_inputs(trained: Checkpoint, count: int, random: torch.Generator) -> list[Tensor]:
    """Return latents float32 `[count, latent_dim]` and, where there are classes, labels int64 `[count]`."""
    inputs = [torch.randn(count, trained.config.latent_dim, generator=random)]
    if trained.config.classes:
        inputs.append(torch.randint(trained.config.classes, (count,), generator=random))
    return inputs


def _error(pupil: nn.Module, teacher: nn.Module, inputs: list[Tensor], stress: float) -> Tensor:
    """Return how far the pupil's digits are from the teacher's tidy ones: squares, summed over pixels."""
    with torch.no_grad():
        drawn: Tensor = (teacher(*inputs) + 1) / 2
        wanted = remove_stray_ink(drawn)
    squares: Tensor = ((pupil(*inputs) + 1) / 2 - wanted).square()
    return (squares * (1 + stress * (drawn > wanted))).sum() / len(drawn)
