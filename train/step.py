"""One step of training: an update of the discriminator, one of the generator, and of the average."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.config import TrainConfig
from train.distributed import World
from train.objectives import Losses, Probe, bce_d, bce_g, relativistic_d, relativistic_g
from train.state import State

PAPER: Final = -1.0
SIDE: Final = 28
NORM_STEP: Final = 0.02
"""How far the running mean of a gradient's norm moves in one step."""


@dataclass(frozen=True)
class DeviceData:
    """All digits, on the device.

    Attributes:
        images: uint8 `[n, 1, 28, 28]`, ink 255 on paper 0.
        labels: int64 `[n]`, or None for an unconditional run.
    """

    images: Tensor
    labels: Tensor | None


def train_step(state: State, data: DeviceData, config: TrainConfig, world: World) -> None:
    """Take one step. Nothing here waits for the device or depends on a value that the host computes."""
    real, labels, latent, probe, offsets = draw_batch(state, data, config, world)
    autocast = torch.autocast(real.device.type, torch.bfloat16, enabled=bool(config.bf16))
    with autocast:
        # Generated once: D learns to tell these digits, then G learns through the same ones.
        fake = state.generator(latent, *labels).float()
    real, fake = move_view(real, offsets, config.shift), move_view(fake, offsets, config.shift)

    state.discriminator.requires_grad_(True)
    with autocast:
        if config.objective == "relativistic":
            d, on_real = relativistic_d(state.discriminator, real, fake.detach(), labels, config.gamma, probe)
        else:
            d = bce_d(state.discriminator, real, fake.detach())
    update(state.discriminator, state.optimizer_d, d, state.norm_d, config, world)

    state.discriminator.requires_grad_(False)
    with autocast:
        if config.objective == "relativistic":
            g = relativistic_g(state.discriminator, on_real, fake, labels)
        else:
            g = bce_g(state.discriminator, fake)
    update(state.generator, state.optimizer_g, g, state.norm_g, config, world)

    update_average(state)
    losses = torch.stack([d.loss.detach(), g.loss.detach(), d.penalty])
    state.sums += torch.cat([losses, d.curves, g.curves]) / config.batch_size


def draw_batch(
    state: State, data: DeviceData, config: TrainConfig, world: World
) -> tuple[Tensor, list[Tensor], Tensor, Probe | None, Tensor]:
    """Draw a global batch and return this process's part of it.

    Returns:
        Real images float32 `[n, 1, 28, 28]` in [-1, 1]; their labels, int64 `[n]`, or no element where
        unconditional; latents float32 `[n, latent_dim]`; where the gradient penalties are estimated, or None
        where they are exact; and how far D's view moves, int64 `[2]`.
    """
    device, random = data.images.device, state.random
    chosen = torch.randint(len(data.images), (config.batch_size,), device=device, generator=random)
    latent = torch.randn(config.batch_size, state.model.latent_dim, device=device, generator=random)
    probe = draw_probe(config, device, random, world) if config.estimate else None
    offsets = torch.randint(2 * config.shift + 1, (2,), device=device, generator=random)
    chosen, latent = world.part(chosen), world.part(latent)
    real = data.images[chosen].float() / 127.5 - 1
    return real, [] if data.labels is None else [data.labels[chosen]], latent, probe, offsets


def draw_probe(config: TrainConfig, device: torch.device, random: torch.Generator, world: World) -> Probe:
    """Choose every so-manyth pair of a global batch and draw its noise; return this process's part."""
    every = config.penalty_every
    count = math.ceil(config.batch_size / every)
    noise = torch.randn(2, count, 1, SIDE, SIDE, device=device, generator=random)
    mine = world.rows(config.batch_size)
    first, stop = math.ceil(mine.start / every), math.ceil(mine.stop / every)
    rows = slice(first * every - mine.start, len(mine), every)
    return Probe(noise[:, first:stop], rows, config.batch_size / count)


def move_view(images: Tensor, offsets: Tensor, shift: int) -> Tensor:
    """Move images `[n, 1, 28, 28]` by up to `shift` pixels, all alike; paper comes in at the edges."""
    if not shift:
        return images
    side = torch.arange(images.shape[-1], device=images.device)
    padded = F.pad(images, (shift,) * 4, value=PAPER)
    return padded.index_select(2, side + offsets[0]).index_select(3, side + offsets[1])


def update(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Losses,
    norm: Tensor,
    config: TrainConfig,
    world: World,
) -> None:
    """Take the optimizer's step down the global batch's mean loss; `norm` follows that of the gradients."""
    optimizer.zero_grad()
    (losses.loss / config.batch_size).backward()
    world.sum_gradients(module)
    if config.clip:
        clip_gradients([p.grad for p in module.parameters() if p.grad is not None], norm, config.clip)
    optimizer.step()


@torch.no_grad()
def clip_gradients(gradients: list[Tensor], norm: Tensor, clip: float) -> None:
    """Scale the gradients down to `clip` times the running mean of their norm, and move the mean on.

    Near the end of the game gradients are small, and Adam, whose memory they fill, would answer one large
    one with a leap from which D takes a thousand steps to come back. Nothing here waits for the device.
    """
    total = torch.nn.utils.get_total_norm(gradients)
    taken = torch.where(norm > 0, torch.minimum(total, clip * norm), total)
    torch._foreach_mul_(gradients, taken / total.clamp_min(torch.finfo(total.dtype).tiny))
    norm.copy_(torch.where(norm > 0, norm.lerp(taken, NORM_STEP), taken))


@torch.no_grad()
def update_average(state: State) -> None:
    """Move the averaged weights and buffers towards the generator's."""
    pairs = zip(state.average.state_dict().values(), state.generator.state_dict().values(), strict=True)
    floating = [pair for pair in pairs if pair[0].is_floating_point()]
    averaged, current = (list(side) for side in zip(*floating, strict=True))
    torch._foreach_lerp_(averaged, current, [state.ema_weight] * len(averaged))
