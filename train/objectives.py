"""What the two networks are asked to minimise: the tutorial's loss and the relativistic one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

Judge = Callable[..., Tensor]
"""A discriminator: images float32 `[n, 1, 28, 28]` (and labels int64 `[n]`) to one logit each."""


class Losses(NamedTuple):
    """Sums over the rows of one process; divided by the global batch size they are the step's losses.

    Attributes:
        loss: what is minimised.
        penalty: the gradient penalty within it.
        curves: float32 `[k]`, detached: the tutorial's loss_real_real and loss_fake_fake for D's step,
            its loss_fake_real for G's.
    """

    loss: Tensor
    penalty: Tensor
    curves: Tensor


class Probe(NamedTuple):
    """Where the penalties are estimated.

    Attributes:
        noise: float32 `[2, k, 1, 28, 28]`, standard normal, for k real and k generated digits.
        rows: which k of a process's digits of each kind.
        weight: digits of the global batch over those that are looked at.
    """

    noise: Tensor
    rows: slice
    weight: float


NOISE_SCALE: Final = 0.05
"""Standard deviation of the noise that estimates the penalties, where images span [-1, 1]."""
CURVES: Final = ("loss_real_real", "loss_fake_fake", "loss_fake_real")
"""The tutorial's three curves: real taken for real, fake for fake, and (to G's joy) fake for real."""


def relativistic_d(
    judge: Judge, real: Tensor, fake: Tensor, labels: list[Tensor], gamma: float, probe: Probe | None
) -> tuple[Losses, Tensor]:
    """D's step of R3GAN (arXiv 2501.05441): each real digit against the generated one beside it, R1 and R2.

    The penalties are `gamma / 2` times the squared norm of each logit's gradient by its image, for real and
    generated digits alike: exact where `probe` is None, else estimated (`_estimate_slope`).

    Returns:
        The losses, and the real digits' logits, detached, for G's step.
    """
    images = torch.cat([real, fake])
    labels = [torch.cat([label, label]) for label in labels]
    if probe is None:
        logits, slope = _exact_slope(judge, images, labels)
    else:
        logits, slope = _estimate_slope(judge, images, labels, probe)
    on_real, on_fake = logits.chunk(2)
    penalty = gamma / 2 * slope
    loss = F.softplus(on_fake - on_real).sum() + penalty
    return Losses(loss, penalty.detach(), _relative_curves(on_real, on_fake)[:2]), on_real.detach()


def _exact_slope(judge: Judge, images: Tensor, labels: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return the logits float32 `[n]`, and the sum of the squared norms of their gradients by the images."""
    images = images.requires_grad_()
    logits = judge(images, *labels).flatten()
    (slope,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return logits, slope.square().sum()


def _estimate_slope(
    judge: Judge, images: Tensor, labels: list[Tensor], probe: Probe
) -> tuple[Tensor, Tensor]:
    """Return the logits float32 `[n]`, and an estimate of the sum of their gradients' squared norms.

    For noise e of N(0, s^2) in each pixel, the mean of (D(x + e) - D(x))^2 / s^2 is the squared norm of D's
    gradient as s goes to 0 (Lin et al., arXiv 2501.08316). It needs no derivative of a derivative. From
    every fourth digit the estimate is noisier, and a step the cheaper: a longer run makes up for it.
    """
    chosen = [_choose(tensor, probe.rows) for tensor in (images, *labels)]
    nearby = chosen[0] + NOISE_SCALE * probe.noise.flatten(0, 1)
    judged = judge(
        torch.cat([images, nearby]),
        *(torch.cat(pair) for pair in zip(labels, chosen[1:], strict=True)),
    ).flatten()
    logits, on_nearby = judged[: len(images)], judged[len(images) :]
    slope = (on_nearby - _choose(logits, probe.rows)) / NOISE_SCALE
    return logits, probe.weight * slope.square().sum()


def _choose(both: Tensor, rows: slice) -> Tensor:
    """Return the same rows of both halves, real and generated."""
    chosen: Tensor = both.unflatten(0, (2, -1))[:, rows]
    return chosen.flatten(0, 1)


def relativistic_g(judge: Judge, on_real: Tensor, fake: Tensor, labels: list[Tensor]) -> Losses:
    """G's step of R3GAN: the generated digit is to look more real than the real one beside it.

    The real digits' logits `on_real` float32 `[n]` are those of D's step: one update old, and for free.
    """
    on_fake = judge(fake, *labels).flatten()
    loss = F.softplus(on_real - on_fake).sum()
    return Losses(loss, torch.zeros_like(loss.detach()), _relative_curves(on_real, on_fake)[2:])


def _relative_curves(on_real: Tensor, on_fake: Tensor) -> Tensor:
    """Return the tutorial's three losses for logits that mean something only beside the other side's mean."""
    real, fake = on_real.detach(), on_fake.detach()
    against_fake, against_real = real - fake.mean(), fake - real.mean()
    return torch.stack(
        [
            F.softplus(-against_fake).sum(),
            F.softplus(against_real).sum(),
            F.softplus(-against_real).sum(),
        ]
    )


def bce_d(judge: Judge, real: Tensor, fake: Tensor) -> Losses:
    """D's step of the tutorial: binary cross-entropy, real 1, generated 0, each kind in its own batch."""
    real_real, fake_fake = F.softplus(-judge(real).flatten()).sum(), F.softplus(judge(fake).flatten()).sum()
    loss = (real_real + fake_fake) / 2
    return Losses(loss, torch.zeros_like(loss.detach()), torch.stack([real_real, fake_fake]).detach())


def bce_g(judge: Judge, fake: Tensor) -> Losses:
    """G's step of the tutorial: D is to take generated digits for real."""
    loss = F.softplus(-judge(fake).flatten()).sum()
    return Losses(loss, torch.zeros_like(loss.detach()), loss.detach()[None])
