"""Ink that the making of MNIST would not have left: specks, and faint lines beyond its box of 20 x 20 pixels.

MNIST's digits were scaled until the longer side of their ink was 20 pixels (LeCun et al., Gradient-based
learning applied to document recognition, 1998): it is in 9,997 of the 10,000 test digits.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F

LIT: Final = 24 / 255
"""A pixel is lit that has more ink than this, about a tenth of full ink."""
SIDE: Final = 5
SPECK: Final = 2
"""So few lit pixels, with no other in the `SIDE` x `SIDE` around them, are a speck."""
BOX: Final = 20
FAINT: Final = 0.5
"""A line beyond the box is cut where no pixel of it has more ink: what has more is part of a stroke."""
LINES: Final = 3
"""So many rows, and as many columns, are cut at most."""


def find_specks(ink: Tensor) -> Tensor:
    """Return bool `[n, 1, 28, 28]`: which pixels of digits `[n, 1, 28, 28]`, ink 1 on paper 0, are specks."""
    lit = ink > LIT
    return lit & (_count_around(lit) <= SPECK)


def remove_stray_ink(ink: Tensor) -> Tensor:
    """Return digits `[n, 1, 28, 28]`, ink 1 on paper 0, without what is far from other ink or out of the box.

    Specks go, then what is out of reach of lit pixels; then, while a digit is longer than the box, the
    fainter of its two outermost lines, unless that is part of a stroke.
    """
    lit = (ink > LIT) & ~find_specks(ink)
    ink = ink * (_count_around(lit) > 0)
    for _ in range(LINES):
        ink = _cut_row(_cut_row(ink).mT).mT
    return ink


def _count_around(lit: Tensor) -> Tensor:
    """Count the lit pixels in the `SIDE` x `SIDE` around each."""
    return F.conv2d(lit.float(), torch.ones(1, 1, SIDE, SIDE, device=lit.device), padding=SIDE // 2)


def _cut_row(ink: Tensor) -> Tensor:
    """Make paper of the fainter of the first and last row of digits that are higher than the box."""
    rows = ink.amax((1, 3))
    inked = (rows > 0).int()
    first, last = inked.argmax(1), rows.shape[1] - 1 - inked.flip(1).argmax(1)
    darkest = rows.gather(1, torch.stack([first, last], 1))
    fainter = torch.where(darkest[:, 0] < darkest[:, 1], first, last)
    cut = (last - first >= BOX) & (darkest.amin(1) <= FAINT)
    where = F.one_hot(fainter, rows.shape[1]).bool() & cut[:, None]
    return ink.masked_fill(where[:, None, :, None], 0)
