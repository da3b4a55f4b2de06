"""What `train.tidy` takes from a generator's digits is hardly in MNIST's own."""

from __future__ import annotations

from train.evaluate.mnist import RealDigits
from train.stray_ink import remove_stray_ink


def test_hardly_any_real_digit_loses_ink(mnist: RealDigits) -> None:
    ink = mnist.test_images[:, None] / 255
    changed = (remove_stray_ink(ink) != ink).flatten(1).any(1)
    assert changed.float().mean() < 0.02
