"""Puts each figure of the generated digits beside the same figure of the real test digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from train.evaluate.measures import Measured, Value
from train.evaluate.memorisation import NEAR_QUANTILE, near_copies

QUANTILES: Final = (0.0, 0.001, 0.01, 0.1, 0.5)
HIGHER_IS_BETTER: Final = frozenset({"precision", "recall", "density", "coverage", "label accuracy"})


@dataclass(frozen=True)
class Figure:
    """One figure, for generated and for real digits.

    Attributes:
        name: what it is called in every report.
        generated: mean over the draws.
        generated_sd: standard deviation over the draws; None for a single draw.
        real: of the real test digits.
        real_se: its standard error.
    """

    name: str
    generated: float
    generated_sd: float | None
    real: float
    real_se: float

    @property
    def margin(self) -> float | None:
        """How far the generated digits are on the better side, in units of both noises; None if unknown."""
        noise = math.hypot(self.generated_sd or 0.0, self.real_se)
        if self.generated_sd is None or noise == 0:
            return None
        gain = self.generated - self.real
        return (gain if self.name in HIGHER_IS_BETTER else -gain) / noise


def compare(draws: Sequence[Measured], real: Measured) -> list[Figure]:
    """Return the figures of some draws of generated digits beside those of the real test digits."""
    figures = [
        _make_figure(name, [draw.values[name].value for draw in draws], value)
        for name, value in real.values.items()
        if name in draws[0].values
    ]
    share = Value(NEAR_QUANTILE, math.sqrt(NEAR_QUANTILE * (1 - NEAR_QUANTILE) / len(real.images)))
    by_pixels = [near_copies(one.nearest_pixels.distance, real.nearest_pixels.distance) for one in draws]
    by_features = [near_copies(one.nearest_features.distance, real.nearest_features.distance) for one in draws]
    figures.append(_make_figure("near-copies by pixels", by_pixels, share))
    figures.append(_make_figure("near-copies by features", by_features, share))
    return figures


def _make_figure(name: str, values: list[float], real: Value) -> Figure:
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Figure(name, float(np.mean(values)), spread, real.value, real.error)


def distance_quantiles(distance: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return the lower quantiles of the distances to the nearest training digit, by name."""
    return {f"{q:g}": float(np.quantile(distance, q)) for q in QUANTILES}
