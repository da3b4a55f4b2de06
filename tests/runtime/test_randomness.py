"""Latents and labels are the same bits everywhere, addressed by seed and index alone."""

from __future__ import annotations

import hashlib
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mnist_sample import randomness
from mnist_sample.errors import UsageError
from mnist_sample.randomness import MAX_INDEX, MAX_SEED, check_range, draw_labels, draw_latents

seeds = st.integers(0, MAX_SEED)
starts = st.integers(0, 2**20) | st.integers(2**40, 2**41) | st.integers(MAX_INDEX - 2**20, MAX_INDEX - 100)

GOLDEN_LATENTS = "fcd5c38bb0d6b88def4ce7ea083d46050c212047f0a77d5297dd73c3a32cc9dd"
GOLDEN_FAR_LATENTS = "85975cafc36cdf60aa1f33f2bf29ca8a5b5ddd7002e68ee8c72f7de841f403a8"
GOLDEN_LABELS = [8, 7, 6, 4, 7, 2, 8, 5, 5, 9, 7, 6]
GOLDEN_FAR_LABELS = [6, 9, 0, 5, 4, 4, 2, 0, 2, 7, 8, 7]


@settings(deadline=None, max_examples=60)
@given(seed=seeds, start=starts, n=st.integers(1, 40), dim=st.integers(1, 70), data=st.data())
def test_a_sample_does_not_depend_on_its_batch(seed: int, start: int, n: int, dim: int, data: Any) -> None:
    latents, labels = draw_latents(seed, start, n, dim), draw_labels(seed, start, n, 10)
    at = data.draw(st.integers(0, n - 1))
    np.testing.assert_array_equal(draw_latents(seed, start + at, 1, dim)[0], latents[at])
    assert draw_labels(seed, start + at, 1, 10)[0] == labels[at]
    assert latents.shape == (n, dim)
    assert latents.dtype == np.float32
    assert np.isfinite(latents).all()


def test_the_table_is_the_same_on_every_machine() -> None:
    table = randomness.normal_table().astype("<f4")
    assert hashlib.sha256(table.tobytes()).hexdigest() == (
        "c626a2537fccfd81f85b4169ad6b24e695a0fac237e8139a7bd694436252de76"
    )


def test_no_quantile_lies_where_rounding_could_turn() -> None:
    fraction = (randomness.upper_quantiles() * 2**20) % 1
    assert np.abs(fraction - 0.5).min() / 2**20 > 1e-12


def test_the_table_holds_normal_quantiles() -> None:
    table = randomness.normal_table()
    normal = NormalDist()
    for k in (0, 1, 2, 100, 4000, 4914, 4915, 20_000, 32_767, 32_768, 40_000, 65_535):
        assert abs(float(table[k]) - normal.inv_cdf((k + 0.5) / 65_536)) <= 2**-21
    np.testing.assert_array_equal(table, -table[::-1])
    assert (np.diff(table) > 0).all()


def test_golden_values() -> None:
    """Philox's raw words are stable: these must hold for every version of NumPy and this package."""
    latents = draw_latents(0, 0, 3, 64)
    assert hashlib.sha256(latents.astype("<f4").tobytes()).hexdigest() == GOLDEN_LATENTS
    latents = draw_latents(MAX_SEED, 2**40 + 12_345, 3, 7)
    assert hashlib.sha256(latents.astype("<f4").tobytes()).hexdigest() == GOLDEN_FAR_LATENTS
    assert draw_labels(0, 0, 12, 10).tolist() == GOLDEN_LABELS
    assert draw_labels(MAX_SEED, 2**40 + 3, 12, 10).tolist() == GOLDEN_FAR_LABELS


def test_nothing_hangs_on_numpy_s_distributions(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = draw_latents(5, 6, 7, 8), draw_labels(5, 6, 7, 10)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("NumPy's distributions may change between versions")

    for name in ("Generator", "RandomState", "default_rng", "standard_normal", "randint"):
        monkeypatch.setattr(np.random, name, refuse)
    np.testing.assert_array_equal(draw_latents(5, 6, 7, 8), expected[0])
    np.testing.assert_array_equal(draw_labels(5, 6, 7, 10), expected[1])


def test_latents_are_standard_normal() -> None:
    drawn = draw_latents(1, 0, 20_000, 50).astype(np.float64).ravel()
    # Four standard errors of a million draws.
    assert abs(drawn.mean()) < 4e-3
    assert abs(drawn.var() - 1) < 4 * np.sqrt(2 / drawn.size)
    assert abs((drawn**4).mean() - 3) < 4 * np.sqrt(96 / drawn.size)
    rows = draw_latents(1, 0, 20_000, 2)
    assert abs(np.corrcoef(rows[:-1, 0], rows[1:, 0])[0, 1]) < 4 / np.sqrt(20_000)
    assert abs(np.corrcoef(rows[:, 0], rows[:, 1])[0, 1]) < 4 / np.sqrt(20_000)


def test_seeds_and_streams_differ() -> None:
    assert not np.array_equal(draw_latents(0, 0, 1, 64), draw_latents(1, 0, 1, 64))
    assert not np.array_equal(draw_latents(0, 0, 1, 64), draw_latents(0, 1, 1, 64))


def test_labels_are_uniform() -> None:
    counts = np.bincount(draw_labels(3, 0, 100_000, 10), minlength=10)
    assert counts.size == 10
    assert np.abs(counts - 10_000).max() < 4 * np.sqrt(100_000 * 0.09)


@pytest.mark.parametrize(
    ("seed", "start", "n"),
    [(-1, 0, 1), (2**64, 0, 1), (0, -1, 1), (0, 0, -1), (0, MAX_INDEX, 1), (0, 0, 10**30)],
)
def test_what_the_streams_cannot_address_is_refused(seed: int, start: int, n: int) -> None:
    with pytest.raises(UsageError):
        check_range(seed, start, n)
