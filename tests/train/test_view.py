"""What the discriminator sees of warped digits, and which of them are warped."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.distributed import World
from train.view import PAPER, draw_warps, warp_view

CPU = torch.device("cpu")
BATCH = 50


def warps(share: float, world: World | None = None) -> Tensor | None:
    return draw_warps(share, BATCH, CPU, torch.Generator().manual_seed(0), world or World())


def drawn(share: float) -> Tensor:
    every = warps(share)
    assert every is not None
    return every


def blots(count: int) -> Tensor:
    """Return digits `[count, 1, 28, 28]` of one round blot of ink, off the middle."""
    place = torch.arange(28.0)
    distance = (place - 16).square()[:, None] + (place - 10).square()
    return (2 * torch.exp(-distance / 18) + PAPER).expand(count, 1, 28, 28)


def centres(images: Tensor) -> Tensor:
    """Return where the ink of each image is on average, row and column, in pixels: `[n, 2]`."""
    ink, place = images[:, 0] - PAPER, torch.arange(28.0)
    total = ink.sum((1, 2))
    return torch.stack([ink.sum(2) @ place / total, ink.sum(1) @ place / total], 1)


def test_a_view_without_a_warp_is_the_digit_itself() -> None:
    images = torch.rand(7, 1, 28, 28) * 2 - 1
    still = torch.eye(3)[:2].expand(7, 2, 3)
    torch.testing.assert_close(warp_view(images, still), images, rtol=0, atol=1e-5)


def test_the_share_is_warped_a_little_each_its_own_way_and_the_rest_is_left_alone() -> None:
    images = blots(BATCH)
    real, generated = drawn(0.6)
    assert real.shape == generated.shape == (30, 2, 3)
    for warp in (real, generated):
        seen = warp_view(images, warp)
        assert torch.equal(seen[30:], images[30:])
        assert seen.min() >= PAPER
        assert seen.max() <= 1
        moved = (centres(seen[:30]) - centres(images[:30])).abs()
        assert 0.1 < moved.mean() < 1  # pixels
        assert moved.max() < 2.5
        ink = (seen[:30] - PAPER).sum((1, 2, 3)) / (images[:30] - PAPER).sum((1, 2, 3))
        assert ink.max() - ink.min() > 0.1  # larger ones and smaller ones
        assert ink.sub(1).abs().max() < 0.25
    assert len(torch.unique(torch.cat([real, generated]), dim=0)) == 60


def test_what_is_warped_still_teaches_the_generator() -> None:
    images = blots(BATCH).clone().requires_grad_()
    warp_view(images, drawn(1.0)[1]).square().sum().backward()
    assert images.grad is not None
    assert images.grad.flatten(1).abs().amax(1).gt(0).all()


@pytest.mark.parametrize("size", [2, 3, 50])
def test_processes_warp_the_same_digits_as_one_alone(size: int) -> None:
    images = torch.rand(BATCH, 1, 28, 28)
    worlds = [World(rank, size) for rank in range(size)]
    parts = [warps(0.3, world) for world in worlds]
    assert any(part is None for part in parts)
    seen = [
        world.part(images) if part is None else warp_view(world.part(images), part[0])
        for world, part in zip(worlds, parts, strict=True)
    ]
    torch.testing.assert_close(torch.cat(seen), warp_view(images, drawn(0.3)[0]))
