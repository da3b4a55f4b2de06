"""Nearest training digits, against a search over all pairs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from train.evaluate.memorisation import find_nearest, flatten_pixels, near_copies


def test_nearest_is_that_of_all_pairs() -> None:
    random = torch.Generator().manual_seed(0)
    queries, training = torch.rand(620, 5, generator=random), torch.rand(90, 5, generator=random)
    pairs = (queries[:, None].double() - training[None].double()).square().sum(dim=2).sqrt()
    found = find_nearest(queries, training)
    assert found.index.tolist() == pairs.argmin(dim=1).tolist()
    assert found.distance == pytest.approx(pairs.amin(dim=1).numpy())


def test_a_copy_is_found_at_no_distance() -> None:
    images = torch.randint(0, 256, (50, 28, 28), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    pixels = flatten_pixels(images)
    found = find_nearest(pixels[[7, 31]], pixels)
    assert found.index.tolist() == [7, 31]
    assert found.distance.tolist() == [0, 0]


def test_near_copies_are_counted_against_real_digits() -> None:
    real = np.linspace(1, 2, 1001)
    assert near_copies(real, real) == pytest.approx(0.01, abs=0.001)
    assert near_copies(np.zeros(10), real) == 1
    assert near_copies(real + 1, real) == 0
    assert near_copies(np.array([0.9, 1.5, 1.5, 1.5]), real) == 0.25
