"""The classification accuracy score of a good generator and of useless ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from tests.evaluate.standin import draw_digits, draw_others
from train.evaluate.cas import CasResult, measure_cas
from train.evaluate.comparison import compare_cas
from train.evaluate.fit import FitConfig
from train.evaluate.mnist import RealDigits
from train.evaluate.network import NetworkConfig
from train.evaluate.samples import Draw

SMALL = FitConfig(NetworkConfig(channels_14=4, channels_7=8, features=16), epochs=3, batch_size=50)


def _measure(draw: Draw, real: RealDigits, seeds: int = 1) -> CasResult:
    return measure_cas(draw, real, seeds, lambda _done: None, SMALL)


def test_digits_of_the_same_kind_teach_as_well_as_real_ones(real: RealDigits) -> None:
    result = _measure(draw_digits, real)
    assert result.real[0] > 0.8
    assert result.generated[0] == pytest.approx(result.real[0], abs=0.1)
    assert result.fresh[0] == pytest.approx(result.real[0], abs=0.1)


def test_digits_with_the_wrong_labels_teach_nothing(real: RealDigits) -> None:
    result = _measure(draw_others, real)
    assert result.generated[0] < 0.2
    assert result.fresh[0] < 0.2


def test_each_epoch_may_have_digits_of_its_own(real: RealDigits) -> None:
    asked: list[tuple[int, int]] = []

    def draw(labels: npt.NDArray[np.int64], seed: int, start: int) -> npt.NDArray[np.uint8]:
        asked.append((seed, start))
        assert np.array_equal(labels, real.train_labels.numpy())
        return real.train_images.numpy()

    result = _measure(draw, real, seeds=2)
    first, second = sorted({seed for seed, _ in asked})
    count = len(real.train_images)
    assert asked == [(seed, at * count) for seed in (first, second) for at in (0, 0, 1, 2)]
    # The same digits, in the same order, from the same initial weights.
    assert result.real == result.generated == result.fresh


def test_the_score_is_a_mean_with_its_standard_error() -> None:
    once, anew = compare_cas(CasResult(60_000, 3, [0.992, 0.994], [0.99, 0.99], [0.993, 0.995]))
    assert [once.generated, once.generated_error] == pytest.approx([0.99, 0])
    assert [once.real, once.real_error] == pytest.approx([0.993, 0.001])
    (single, _) = compare_cas(CasResult(60_000, 3, [0.992], [0.99], [0.993]))
    assert (single.generated_error, single.margin) == (None, None)
    assert [anew.generated, anew.generated_error] == pytest.approx([0.994, 0.001])
