"""A sound file on an onnxruntime that is wrong in one way each: the right check says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import export.checks.agreement
from export import errors
from export.checks.agreement import (
    LEVELS,
    check_optimisation_levels,
    check_reference_evaluator,
    check_repeat,
    check_rows_alone,
)
from export.checks.candidate import Array, Arrays, Candidate, run_session
from mnist_sample.engine import onnxruntime as ort
from tests.export.exported import Exported

Change = Callable[[Array, Array], tuple[Array, Array]]
"""Takes a session's `image` and `sample`, and gives others."""


def unchanged(image: Array, sample: Array) -> tuple[Array, Array]:
    return image, sample


def grow_sample(image: Array, sample: Array) -> tuple[Array, Array]:
    """Add more to the sample, the more rows there are."""
    return image, sample + np.float32(1e-4 * len(sample))


def spoil_sample(image: Array, sample: Array) -> tuple[Array, Array]:
    return image, np.full_like(sample, np.nan)


def brighten(image: Array, sample: Array, levels: int = 2) -> tuple[Array, Array]:
    """Add grey levels to the image, none to the sample."""
    return np.minimum(image, 255 - levels) + np.uint8(levels), sample


def brighten_single_row(image: Array, sample: Array, levels: int = 2) -> tuple[Array, Array]:
    return brighten(image, sample, levels if len(image) == 1 else 0)


def flip_last_bit(image: Array, sample: Array) -> tuple[Array, Array]:
    return image, (sample.view("int32") ^ 1).view("float32")


def flip_last_bit_of_image(image: Array, sample: Array) -> tuple[Array, Array]:
    return image ^ 1, sample


class Session:
    """A session whose answers are changed, each run's in its own way, the last way for all further runs."""

    def __init__(self, session: ort.InferenceSession, *changes: Change) -> None:
        self.session, self.changes = session, list(changes)

    def run(self, _names: list[str], inputs: Arrays) -> list[Any]:
        change = self.changes.pop(0) if len(self.changes) > 1 else self.changes[0]
        return list(change(*run_session(self.session, inputs)))


def on_wrong_runtime(exported: Exported, *changes: Change, opened: Change = unchanged) -> Candidate:
    """Return a candidate whose session's answers are changed, and those of sessions opened anew."""
    candidate = exported.with_content(exported.content)
    fresh = Session(candidate.session, opened)
    candidate.__dict__["session"] = Session(candidate.session, *changes or (unchanged,))
    candidate.__dict__["open_session"] = lambda _level: fresh
    return candidate


@pytest.mark.parametrize("change", [flip_last_bit, flip_last_bit_of_image])
def test_two_runs_that_differ_are_found(change: Change, digits: Exported) -> None:
    with pytest.raises(errors.RepeatError):
        check_repeat(on_wrong_runtime(digits, unchanged, change))
    with pytest.raises(errors.RepeatError):
        check_repeat(on_wrong_runtime(digits, opened=change))


@pytest.mark.parametrize("change", [grow_sample, spoil_sample, brighten_single_row])
def test_a_row_that_depends_on_its_mates_is_found(change: Change, digits: Exported) -> None:
    with pytest.raises(errors.BatchMateError):
        check_rows_alone(on_wrong_runtime(digits, change))


def test_a_row_may_be_a_grey_level_off_alone(digits: Exported) -> None:
    brighten_a_little = partial(brighten_single_row, levels=1)
    assert "image 1 of 255" in check_rows_alone(on_wrong_runtime(digits, brighten_a_little)).text


@pytest.mark.parametrize("change", [grow_sample, spoil_sample, brighten])
@pytest.mark.parametrize("name", LEVELS)
def test_an_optimisation_level_that_differs_is_named(name: str, change: Change, digits: Exported) -> None:
    candidate = digits.with_content(digits.content)
    sound, wrong = candidate.session, Session(candidate.session, change)
    candidate.__dict__["open_session"] = lambda level: wrong if level == LEVELS[name] else sound
    with pytest.raises(errors.OptimisationLevelError, match=f"`{name}`"):
        check_optimisation_levels(candidate)


def fail(_image: Array, _sample: Array) -> tuple[Array, Array]:
    raise IndexError("out of bounds")


@pytest.mark.parametrize("change", [grow_sample, spoil_sample, brighten, fail])
def test_a_reference_evaluator_that_differs_is_found(
    change: Change, monkeypatch: pytest.MonkeyPatch, digits: Exported
) -> None:
    class Evaluator:
        def __init__(self, model: onnx.ModelProto) -> None:
            self.evaluator = ReferenceEvaluator(model)

        def run(self, names: list[str], inputs: Arrays) -> list[Array]:
            return list(change(*cast("list[Array]", self.evaluator.run(names, inputs))))

    assert check_reference_evaluator(digits.candidate)
    monkeypatch.setattr(export.checks.agreement, "ReferenceEvaluator", Evaluator)
    with pytest.raises(
        errors.ReferenceEvaluatorError, match=r"reference evaluator (differs|fails: out of bounds)"
    ):
        check_reference_evaluator(digits.candidate)
