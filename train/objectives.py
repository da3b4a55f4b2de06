"""What the two networks are asked to minimise: the tutorial's loss and the relativistic one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from train.config import TrainConfig

Judge = Callable[..., Tensor]
"""A discriminator: images float32 `[n, 1, 28, 28]` (and labels int64 `[n]`) to float32 `[n, 1 + classes]`: a
logit, high for a real image of that class, and those of the classes it may show, if it tells."""


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


LABEL_SMOOTHING: Final = 0.05
NOISE_SCALE: Final = 0.05
"""Standard deviation of the noise that estimates the penalties, where images span [-1, 1]."""
CURVES: Final = ("loss_real_real", "loss_fake_fake", "loss_fake_real")
"""The tutorial's three curves: real taken for real, fake for fake, and (to G's joy) fake for real."""


def relativistic_d(
    judge: Judge, real: Tensor, fake: Tensor, labels: list[Tensor], config: TrainConfig, probe: Probe | None
) -> tuple[Losses, Tensor]:
    """D's step of R3GAN (arXiv 2501.05441): each real digit against the generated one beside it, R1 and R2.

    The penalties are `gamma / 2` times the squared norm of each logit's gradient by its image, for real and
    generated digits alike: exact where `probe` is None, else estimated (`_estimate_slope`). With
    `config.legible`, D also learns to read, from real digits only.

    Returns:
        The losses, and the real digits' logits, detached, for G's step.
    """
    images = torch.cat([real, fake])
    both_labels = [torch.cat([label, label]) for label in labels]
    if probe is None:
        judged, slope = _exact_slope(judge, images, both_labels)
    else:
        judged, slope = _estimate_slope(judge, images, both_labels, probe)
    on_real, on_fake = judged[:, 0].chunk(2)
    penalty = config.gamma / 2 * slope
    loss = F.softplus(on_fake - on_real).sum() + penalty
    if config.legible and labels:
        loss = loss + config.legible * _misreading(judged[: len(real)], labels[0])
    return Losses(loss, penalty.detach(), _relative_curves(on_real, on_fake)[:2]), on_real.detach()


def _exact_slope(judge: Judge, images: Tensor, labels: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return what `judge` says, and the sum of the squared norms of its first logits' gradients."""
    images = images.requires_grad_()
    judged = judge(images, *labels)
    (slope,) = torch.autograd.grad(judged[:, 0].sum(), images, create_graph=True)
    return judged, slope.square().sum()


def _estimate_slope(
    judge: Judge, images: Tensor, labels: list[Tensor], probe: Probe
) -> tuple[Tensor, Tensor]:
    """Return what `judge` says, and an estimate of the sum of its first logits' gradients' squared norms.

    For noise e of N(0, s^2) in each pixel, the mean of (D(x + e) - D(x))^2 / s^2 is the squared norm of D's
    gradient as s goes to 0 (Lin et al., arXiv 2501.08316). It needs no derivative of a derivative. From
    every fourth digit the estimate is noisier, and a step the cheaper: a longer run makes up for it.
    """
    chosen = [_choose(tensor, probe.rows) for tensor in (images, *labels)]
    nearby = chosen[0] + NOISE_SCALE * probe.noise.flatten(0, 1)
    judged = judge(
        torch.cat([images, nearby]),
        *(torch.cat(pair) for pair in zip(labels, chosen[1:], strict=True)),
    )
    judged, on_nearby = judged[: len(images)], judged[len(images) :, 0]
    slope = (on_nearby - _choose(judged[:, 0], probe.rows)) / NOISE_SCALE
    return judged, probe.weight * slope.square().sum()


def _choose(both: Tensor, rows: slice) -> Tensor:
    """Return the same rows of both halves, real and generated."""
    chosen: Tensor = both.unflatten(0, (2, -1))[:, rows]
    return chosen.flatten(0, 1)


def _misreading(judged: Tensor, labels: Tensor) -> Tensor:
    """Return the sum of the cross-entropies of the classes that were read with the right ones.

    Smoothed labels keep a digit from being pushed to ever clearer ones of its class.
    """
    return F.cross_entropy(judged[:, 1:], labels, reduction="sum", label_smoothing=LABEL_SMOOTHING)


def relativistic_g(
    judge: Judge, on_real: Tensor, fake: Tensor, labels: list[Tensor], config: TrainConfig
) -> Losses:
    """G's step of R3GAN: the generated digit is to look more real than the real one beside it.

    The real digits' logits `on_real` float32 `[n]` are those of D's step: one update old, and for free. With
    `config.legible`, D is also to read the right class.
    """
    judged = judge(fake, *labels)
    on_fake = judged[:, 0]
    loss = F.softplus(on_real - on_fake).sum()
    if config.legible and labels:
        loss = loss + config.legible * _misreading(judged, labels[0])
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
    real_real, fake_fake = F.softplus(-judge(real)[:, 0]).sum(), F.softplus(judge(fake)[:, 0]).sum()
    loss = (real_real + fake_fake) / 2
    return Losses(loss, torch.zeros_like(loss.detach()), torch.stack([real_real, fake_fake]).detach())


def bce_g(judge: Judge, fake: Tensor) -> Losses:
    """G's step of the tutorial: D is to take generated digits for real."""
    loss = F.softplus(-judge(fake)[:, 0]).sum()
    return Losses(loss, torch.zeros_like(loss.detach()), loss.detach()[None])
