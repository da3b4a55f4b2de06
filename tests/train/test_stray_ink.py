"""Ink that no digit of MNIST has is found and removed, and no other."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from train.stray_ink import find_specks, remove_stray_ink


def make_stroke() -> Tensor:
    """Return a digit `[1, 1, 28, 28]` of one thick stroke, 20 pixels high."""
    ink = torch.zeros(1, 1, 28, 28)
    ink[..., 4:24, 12:15] = 1.0
    return ink


def test_a_speck_goes_and_the_stroke_stays() -> None:
    digit = make_stroke()
    digit[..., 10, 22:24] = 0.4
    assert find_specks(digit).sum() == 2
    assert torch.equal(remove_stray_ink(digit), make_stroke())


def test_ink_too_faint_for_a_speck_goes_only_where_it_is_far_from_a_stroke() -> None:
    digit = make_stroke()
    digit[..., 10, 15] = digit[..., 10, 20] = 0.05
    wanted = make_stroke()
    wanted[..., 10, 15] = 0.05
    assert torch.equal(remove_stray_ink(digit), wanted)


def test_three_lit_pixels_are_part_of_a_digit() -> None:
    digit = make_stroke()
    digit[..., 10, 21:24] = 0.4
    assert not find_specks(digit).any()
    assert torch.equal(remove_stray_ink(digit), digit)


@pytest.mark.parametrize("turned", [False, True])
def test_faint_lines_beyond_the_box_go(turned: bool) -> None:
    """The fainter ends first, of rows and columns alike; a digit that fits the box keeps faint ends."""
    digit = make_stroke()
    digit[..., 3, 12:15], digit[..., 24, 12:15] = 0.3, 0.2
    wanted = make_stroke()
    short = make_stroke()
    short[..., 4, 12:15] = 0.2
    if turned:
        digit, wanted, short = digit.mT, wanted.mT, short.mT
    assert torch.equal(remove_stray_ink(digit), wanted)
    assert torch.equal(remove_stray_ink(short), short)


def test_a_stroke_beyond_the_box_is_not_cut() -> None:
    digit = make_stroke()
    digit[..., 3, 12:15] = digit[..., 24, 12:15] = 0.6
    assert torch.equal(remove_stray_ink(digit), digit)


def test_paper_and_digits_of_a_batch_do_not_disturb_each_other() -> None:
    specked = make_stroke()
    specked[..., 10, 22] = 1.0
    batch = torch.cat([torch.zeros(1, 1, 28, 28), specked, make_stroke()])
    wanted = torch.cat([torch.zeros(1, 1, 28, 28), make_stroke(), make_stroke()])
    assert torch.equal(remove_stray_ink(batch), wanted)
