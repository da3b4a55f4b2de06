"""One step of training: an update of the discriminator, one of the generator, and of the average."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from mnist_sample.contract import IMAGE_SIZE
from train.config import TrainConfig
from train.distributed import World
from train.entropy import DIRECTIONS, LOOKED_AT, Moves, generate_around, local_entropy
from train.objectives import Probe, bce_d, bce_g, relativistic_d, relativistic_g
from train.state import State
from train.view import draw_warps, move_view, warp_view

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


class Batch(NamedTuple):
    """What one process draws for a step.

    Attributes:
        real: float32 `[n, 1, 28, 28]` in [-1, 1].
        labels: their labels, int64 `[n]`; no element where unconditional.
        latent: float32 `[n, latent_dim]`, normal.
        offsets: int64 `[2]`, how far D's view moves.
        warps: how D's view of the first k digits of each kind is warped, float32 `[2, k, 2, 3]`; None where
            it is of none.
        probe: where the gradient penalties are estimated; None where they are exact.
        moves: where the entropy is estimated; None where it has no weight, or at none of these digits.
    """

    real: Tensor
    labels: list[Tensor]
    latent: Tensor
    offsets: Tensor
    warps: Tensor | None
    probe: Probe | None
    moves: Moves | None


def train_step(state: State, data: DeviceData, config: TrainConfig, world: World) -> None:
    """Take one step. Nothing here waits for the device or depends on a value that the host computes."""
    batch = draw_batch(state, data, config, world)
    labels = batch.labels
    autocast = torch.autocast(batch.real.device.type, torch.bfloat16, enabled=bool(config.bf16))
    with autocast:
        # Generated once: D learns to tell these digits, then G learns through the same ones.
        fake = state.generator(batch.latent, *labels).float()
    real, fake = (move_view(images, batch.offsets, config.shift) for images in (batch.real, fake))
    if batch.warps is not None:
        real, fake = (warp_view(*pair) for pair in zip((real, fake), batch.warps, strict=True))

    state.discriminator.requires_grad_(True)
    with autocast:
        if config.objective == "relativistic":
            d, on_real = relativistic_d(state.discriminator, real, fake.detach(), labels, config, batch.probe)
        else:
            d = bce_d(state.discriminator, real, fake.detach())
    update(state.discriminator, state.optimizer_d, d.loss, state.norm_d, config, world)

    state.discriminator.requires_grad_(False)
    with autocast:
        if config.objective == "relativistic":
            g = relativistic_g(state.discriminator, on_real, fake, labels, config)
        else:
            g = bce_g(state.discriminator, fake)
    loss = g.loss
    if batch.moves:
        with autocast:
            around = generate_around(state.generator, batch.latent, labels, batch.moves)
        loss = loss - config.entropy * batch.moves.weight * local_entropy(around)
    update(state.generator, state.optimizer_g, loss, state.norm_g, config, world)

    update_average(state)
    losses = torch.stack([d.loss.detach(), g.loss.detach(), d.penalty])
    state.sums += torch.cat([losses, d.curves, g.curves]) / config.batch_size


def draw_batch(state: State, data: DeviceData, config: TrainConfig, world: World) -> Batch:
    """Draw a global batch and return this process's part of it."""
    device, random = data.images.device, state.random
    chosen = torch.randint(len(data.images), (config.batch_size,), device=device, generator=random)
    latent = torch.randn(config.batch_size, state.model.latent_dim, device=device, generator=random)
    latent *= config.latent_std
    probe = draw_probe(config, device, random, world) if config.estimate else None
    offsets = torch.randint(2 * config.shift + 1, (2,), device=device, generator=random)
    moves = draw_moves(config, latent, random, world) if config.entropy else None
    warps = draw_warps(config.warp, config.batch_size, device, random, world) if config.warp else None
    chosen, latent = world.part(chosen), world.part(latent)
    real = data.images[chosen].float() / 127.5 - 1
    labels = [] if data.labels is None else [data.labels[chosen]]
    return Batch(real, labels, latent, offsets, warps, probe, moves)


def draw_probe(config: TrainConfig, device: torch.device, random: torch.Generator, world: World) -> Probe:
    """Choose every k-th pair of a global batch and draw its noise; return this process's part."""
    count, rows, mine = choose_rows(config.batch_size, config.penalty_every, world)
    noise = torch.randn(2, count, 1, IMAGE_SIZE, IMAGE_SIZE, device=device, generator=random)
    return Probe(noise[:, mine], rows, config.batch_size / count)


def draw_moves(config: TrainConfig, latent: Tensor, random: torch.Generator, world: World) -> Moves | None:
    """Choose every k-th latent of a global batch and draw its moves; return this process's, if any."""
    count, rows, mine = choose_rows(config.batch_size, math.ceil(config.batch_size / LOOKED_AT), world)
    shape = (count, DIRECTIONS, latent.shape[1])
    directions = torch.randn(shape, device=latent.device, generator=random)
    return Moves(directions[mine], rows, config.batch_size / count) if len(directions[mine]) else None


def choose_rows(batch_size: int, every: int, world: World) -> tuple[int, slice, slice]:
    """Choose a row of every `every` of a global batch.

    Returns:
        How many these are, which rows of this process's part, and which of all that were chosen.
    """
    part = world.rows(batch_size)
    first, stop = math.ceil(part.start / every), math.ceil(part.stop / every)
    return (
        math.ceil(batch_size / every),
        slice(first * every - part.start, len(part), every),
        slice(first, stop),
    )


def update(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Tensor,
    norm: Tensor,
    config: TrainConfig,
    world: World,
) -> None:
    """Take the optimizer's step down the loss, a sum over the global batch; `norm` follows the gradients'."""
    optimizer.zero_grad()
    (loss / config.batch_size).backward()
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
