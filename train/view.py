"""What the discriminator sees of digits, real and generated alike: moved, or warped.

A discriminator that looks long enough knows its training digits by heart, and what it then tells the
generator is how to copy them. One that sees some of them turned, stretched and moved a little, each time in
another way, has to judge by what digits have in common (Karras et al., arXiv 2006.06676). The rest it sees as
they are, so that the generator does not learn to warp its own.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

from mnist_sample.contract import IMAGE_SIZE
from train.distributed import World

PAPER: Final = -1.0
MAX_TURN: Final = math.radians(8)
MAX_STRETCH: Final = 0.08
"""Logarithm of the largest scale of either side, and the largest shear."""
MAX_MOVE: Final = 0.7
"""Pixels."""


def draw_warps(
    share: float, batch_size: int, device: torch.device, random: torch.Generator, world: World
) -> Tensor | None:
    """Draw affine maps for the first `share` of a global batch; return those of this process's part, if any.

    Returns:
        float32 `[2, k, 2, 3]`, one for each of k real and k generated digits, as `affine_grid` takes them.
    """
    warped = round(share * batch_size)
    drawn = 2 * torch.rand(6, 2, warped, device=device, generator=random) - 1
    mine = world.rows(batch_size)
    drawn = drawn[:, :, mine.start : mine.stop]
    if not drawn.numel():
        return None
    turn, (wide, high, shear) = MAX_TURN * drawn[0], MAX_STRETCH * drawn[1:4]
    right, down = MAX_MOVE * 2 / IMAGE_SIZE * drawn[4:]
    wide, high, cos, sin = wide.exp(), high.exp(), turn.cos(), turn.sin()
    rows = [
        torch.stack([cos * wide, shear - sin * high, right], -1),
        torch.stack([sin * wide, cos * high, down], -1),
    ]
    return torch.stack(rows, -2)


def warp_view(images: Tensor, warps: Tensor) -> Tensor:
    """Warp the first k of images `[n, 1, 28, 28]` by `[k, 2, 3]`, bilinearly; paper comes in at the edges.

    On CUDA the gradient of `grid_sample` adds up in no fixed order (PyTorch's notes on reproducibility), so
    two runs with warps may differ in their bits there.
    """
    grid = F.affine_grid(warps, [len(warps), 1, IMAGE_SIZE, IMAGE_SIZE], align_corners=False)
    warped = F.grid_sample(images[: len(warps)] - PAPER, grid, align_corners=False) + PAPER
    return torch.cat([warped, images[len(warps) :]])


def move_view(images: Tensor, offsets: Tensor, shift: int) -> Tensor:
    """Move images `[n, 1, 28, 28]` by up to `shift` pixels, all alike; paper comes in at the edges."""
    if not shift:
        return images
    side = torch.arange(images.shape[-1], device=images.device)
    padded = F.pad(images, (shift,) * 4, value=PAPER)
    return padded.index_select(2, side + offsets[0]).index_select(3, side + offsets[1])
