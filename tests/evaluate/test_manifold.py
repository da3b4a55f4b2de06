"""Precision, recall, density and coverage, against their definitions written out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from train.evaluate.manifold import NEIGHBOURS, measure_manifold

Features = npt.NDArray[np.float64]


def _distances(rows: Features, columns: Features) -> Features:
    distances: Features = np.linalg.norm(rows[:, None] - columns[None], axis=2)
    return distances


def _radii(features: Features) -> Features:
    return np.sort(_distances(features, features), axis=1)[:, NEIGHBOURS]


@pytest.mark.parametrize("shift", [0.5, 1.0])
def test_all_four_follow_their_definitions(shift: float) -> None:
    random = np.random.default_rng(1)
    generated, real = random.standard_normal((40, 3)) * 1.2 + shift, random.standard_normal((60, 3))
    between = _distances(generated, real)
    in_real, in_generated = between <= _radii(real), _radii(generated) >= between.T
    measured = measure_manifold(generated, real)
    assert measured.precision == pytest.approx(in_real.any(axis=1).mean())
    assert measured.recall == pytest.approx(in_generated.any(axis=1).mean())
    assert measured.density == pytest.approx(in_real.sum(axis=1).mean() / NEIGHBOURS)
    assert measured.coverage == pytest.approx(in_real.any(axis=0).mean())
    assert 0 < measured.precision < 1
    assert 0 < measured.recall < 1


def test_more_rows_than_are_held_at_a_time() -> None:
    random = np.random.default_rng(2)
    generated, real = random.standard_normal((1100, 2)), random.standard_normal((1200, 2))
    in_real = _distances(generated, real) <= _radii(real)
    measured = measure_manifold(generated, real)
    assert measured.density == pytest.approx(in_real.sum(axis=1).mean() / NEIGHBOURS, abs=1e-4)
    assert measured.coverage == pytest.approx(in_real.any(axis=0).mean(), abs=1e-3)


def test_neighbours_need_digits() -> None:
    with pytest.raises(ValueError, match="more than 5"):
        measure_manifold(np.zeros((5, 2)), np.zeros((9, 2)))
