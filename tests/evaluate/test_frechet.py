"""The Frechet distance and its error, against closed forms and repetition."""

from __future__ import annotations

import numpy as np
import pytest

from train.evaluate.frechet import Gaussian, fit_gaussian, frechet_distance, jackknife_error


def test_distance_of_independent_normals_is_the_closed_form() -> None:
    random = np.random.default_rng(0)
    means, deviations = random.standard_normal((2, 6)), random.uniform(0.5, 2, (2, 6))
    ours, theirs = (Gaussian(m, np.diag(s**2), 10) for m, s in zip(means, deviations, strict=True))
    expected = np.sum((means[0] - means[1]) ** 2) + np.sum((deviations[0] - deviations[1]) ** 2)
    assert frechet_distance(ours, theirs) == pytest.approx(expected, rel=1e-9)


def test_distance_stands_a_dead_feature() -> None:
    features = np.random.default_rng(0).standard_normal((200, 4)) * [1, 2, 0, 1]
    moved = features + np.array([0, 0, 3, 0])
    assert frechet_distance(fit_gaussian(moved), fit_gaussian(features)) == pytest.approx(9)


def test_jackknife_tells_the_spread_between_draws() -> None:
    random = np.random.default_rng(0)
    reference = Gaussian(np.full(4, 0.5), np.eye(4), 1)
    draws = [random.standard_normal((300, 4)) for _ in range(80)]
    spread = np.std([frechet_distance(fit_gaussian(draw), reference) for draw in draws])
    error = np.mean([jackknife_error(draw, reference) for draw in draws])
    assert error == pytest.approx(spread, rel=0.3)


def test_jackknife_leaves_the_mix_of_classes_as_it_was_asked_for() -> None:
    random = np.random.default_rng(0)
    asked = random.integers(3, size=300)
    centres = np.array([[0.0, 9.0], [9.0, 0.0], [0.0, 0.0]])[asked]
    reference = Gaussian(np.full(2, 1.0), np.eye(2), 1)
    draws = [centres + random.standard_normal((300, 2)) for _ in range(80)]
    spread = np.std([frechet_distance(fit_gaussian(draw), reference) for draw in draws])
    error = np.mean([jackknife_error(draw, reference, asked) for draw in draws])
    assert error == pytest.approx(spread, rel=0.3)
    assert np.mean([jackknife_error(draw, reference) for draw in draws]) > 2 * spread
