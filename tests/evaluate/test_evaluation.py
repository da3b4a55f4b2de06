"""What the figures say of good and of bad generators."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mnist_sample.errors import UsageError
from tests.evaluate.standin import draw_constant, draw_digits, draw_others
from train.evaluate.comparison import Figure, compare
from train.evaluate.evaluation import Evaluation
from train.evaluate.mnist import RealDigits
from train.evaluate.settings import Settings
from train.evaluate.text import format_text

Measure = Callable[..., Evaluation]


def _figures(evaluation: Evaluation) -> dict[str, Figure]:
    return {figure.name: figure for figure in evaluation.figures}


def test_a_perfect_generator_is_level_with_real_digits(fresh: Evaluation) -> None:
    for figure in fresh.figures:
        assert figure.margin is None or abs(figure.margin) < 4, figure


def test_real_digits_are_level_with_themselves(fresh: Evaluation) -> None:
    for figure in compare([fresh.real], fresh.real):
        assert figure.generated == pytest.approx(figure.real, abs=0.005)


def test_one_digit_over_and_over_shows(measure: Measure, fresh: Evaluation) -> None:
    figures = _figures(measure(draw_constant))
    assert figures["recall"].generated == 0
    assert figures["coverage"].generated < 0.05 < figures["coverage"].real
    assert figures["Frechet distance"].generated > 10 * figures["Frechet distance"].real
    assert figures["largest class gap"].generated == pytest.approx(0.9)


def test_wrong_digits_show_in_the_label_accuracy_alone(measure: Measure, fresh: Evaluation) -> None:
    wrong, right = _figures(measure(draw_others)), _figures(fresh)
    assert wrong["label accuracy"].generated < 0.2 < 0.6 < right["label accuracy"].generated
    assert wrong["Frechet distance"].generated == pytest.approx(right["Frechet distance"].generated, rel=0.5)


def test_copies_of_training_digits_show(measure: Measure, real: RealDigits) -> None:
    copied = measure(lambda labels, _seed, start: real.train_images[start : start + len(labels)].numpy())
    figures = _figures(copied)
    assert figures["near-copies by pixels"].generated == 1
    assert figures["near-copies by features"].generated == 1
    assert copied.draws[0].nearest_pixels.index.tolist() == list(range(400))


def test_labels_play_no_part_where_the_generator_takes_none(measure: Measure, fresh: Evaluation) -> None:
    figures = _figures(measure(draw_digits, conditional=False))
    assert "label accuracy" not in figures
    assert figures["coverage"].generated == _figures(fresh)["coverage"].generated


def test_fewer_digits_stand_beside_as_many_real_ones(measure: Measure) -> None:
    evaluation = measure(draw_digits, digits=150, seeds=2)
    assert [len(one.images) for one in (*evaluation.draws, evaluation.real)] == [150] * 3
    assert not np.array_equal(evaluation.draws[0].images, evaluation.draws[1].images)
    assert "150 generated digits (the mean of 2 draws) beside 150 real test digits" in format_text(evaluation)


@pytest.mark.parametrize(("digits", "seeds"), [(99, 1), (10_001, 1), (100, 0), (100, 101)])
def test_settings_out_of_range_are_refused(digits: int, seeds: int) -> None:
    with pytest.raises(UsageError, match=r"out of range: \d+ to \d+"):
        Settings(digits, seeds)
