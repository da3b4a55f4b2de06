"""Puts each figure of the generated digits beside the same figure of the real test digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from train.evaluate.cas import CasResult
from train.evaluate.measures import Measured, Value, share_of
from train.evaluate.memorisation import NEAR_QUANTILE, near_copies

DRAWS_FOR_SPREAD: Final = 3
QUANTILES: Final = (0.0, 0.001, 0.01, 0.1, 0.5)
LOWER_IS_BETTER: Final = frozenset(
    {"Frechet distance", "largest class gap", "near-copies by pixels", "near-copies by features"}
)


@dataclass(frozen=True)
class Figure:
    """One figure, for generated and for real digits.

    Attributes:
        name: what it is called in every report.
        generated: mean over the draws.
        generated_error: standard error of one draw's figure, as estimated from each, or the spread over three
            draws and more where that is larger; for a classification accuracy score, of the mean over seeds;
            None where a single seed leaves it unknown.
        real: of the real test digits.
        real_error: its standard error.
    """

    name: str
    generated: float
    generated_error: float | None
    real: float
    real_error: float | None

    @property
    def margin(self) -> float | None:
        """How far the generated digits are on the better side, in standard errors of the difference.

        None where an error is unknown or both are 0, so that nothing is known of the noise.
        """
        if self.generated_error is None or self.real_error is None:
            return None
        noise = math.hypot(self.generated_error, self.real_error)
        if noise == 0:
            return None
        gain = self.generated - self.real
        return (-gain if self.name in LOWER_IS_BETTER else gain) / noise


def compare(draws: Sequence[Measured], real: Measured) -> list[Figure]:
    """Return the figures of one or more draws of generated digits beside those of the real test digits."""
    figures = [
        _average(name, [draw.values[name] for draw in draws], real.values[name]) for name in real.values
    ]
    for name, distances, reals in (
        ("near-copies by pixels", [d.nearest_pixels for d in draws], real.nearest_pixels),
        ("near-copies by features", [d.nearest_features for d in draws], real.nearest_features),
    ):
        shares = [share_of(near_copies(one.distance, reals.distance), len(one.distance)) for one in distances]
        figures.append(_average(name, shares, share_of(NEAR_QUANTILE, len(reals.distance))))
    return figures


def _average(name: str, values: Sequence[Value], real: Value) -> Figure:
    drawn = [value.value for value in values]
    error = float(np.mean([value.error for value in values]))
    if len(drawn) >= DRAWS_FOR_SPREAD:
        # The estimates of recall and coverage take the generated digits as given.
        error = max(error, float(np.std(drawn, ddof=1)))
    return Figure(name, float(np.mean(drawn)), error, real.value, real.error)


def compare_cas(result: CasResult) -> list[Figure]:
    """Return the classification accuracy scores beside what the real training digits give."""
    scores = {"CAS": result.generated, "CAS, new digits each epoch": result.fresh}
    return [
        Figure(name, *mean_and_error(accuracies), *mean_and_error(result.real))
        for name, accuracies in scores.items()
    ]


def mean_and_error(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and its standard error; None for the error of a single one."""
    mean, count = float(np.mean(values)), len(values)
    return mean, float(np.std(values, ddof=1)) / math.sqrt(count) if count > 1 else None


def distance_quantiles(distance: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the lower quantiles of the distances to the nearest training digit, by name."""
    return {f"{q:g}": float(np.quantile(distance, q)) for q in QUANTILES}
