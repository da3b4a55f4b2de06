"""Measures a set of digits against the real training digits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from train.evaluate.features import FeatureExtractor
from train.evaluate.frechet import fit_gaussian, frechet_distance, jackknife_error
from train.evaluate.labels import class_gap, class_shares, label_accuracy
from train.evaluate.manifold import measure_manifold
from train.evaluate.memorisation import Nearest, find_nearest, flatten_pixels
from train.evaluate.mnist import RealDigits

MANIFOLD_DIGITS: Final = 10_000
"""Training digits that precision, recall, density and coverage compare with; always the same ones."""
MANIFOLD_SEED: Final = 0


@dataclass(frozen=True)
class Value:
    """A figure for one set of digits and its standard error: what another set of that size may give."""

    value: float
    error: float


@dataclass(frozen=True)
class Measured:
    """All that is measured on one set of digits.

    Attributes:
        images: uint8 `[n, 28, 28]`, the digits.
        read: int64 `[n]`, what the classifier reads.
        values: figure name -> value.
        nearest_pixels: each digit's nearest training digit by its pixels in [0, 1].
        nearest_features: the same by the classifier's features.
    """

    images: npt.NDArray[np.uint8]
    read: npt.NDArray[np.int64]
    values: dict[str, Value]
    nearest_pixels: Nearest
    nearest_features: Nearest


class Yardstick:
    """The real training digits, prepared to measure others against.

    Args:
        real: MNIST.
        extract: the classifier.
    """

    def __init__(self, real: RealDigits, extract: FeatureExtractor) -> None:
        self._extract = extract
        features, _ = extract(real.train_images.numpy())
        self._gaussian = fit_gaussian(features)
        chosen = np.random.Generator(np.random.PCG64(MANIFOLD_SEED)).permutation(len(features))
        self._manifold = features[chosen[:MANIFOLD_DIGITS]]
        self._features = torch.from_numpy(features).float()
        self._pixels = flatten_pixels(real.train_images)
        self._shares = class_shares(real.train_labels.numpy())

    def measure(self, images: npt.NDArray[np.uint8], asked: npt.NDArray[np.int64] | None) -> Measured:
        """Measure digits uint8 `[n, 28, 28]`, ink 255 on paper 0.

        Args:
            images: the digits; 100 or more.
            asked: int64 `[n]`, what each should be; None where that is not known, which leaves the label
                accuracy out and compares the classes with the training digits'.
        """
        features, read = self._extract(images)
        expected = self._shares if asked is None else class_shares(asked)
        return Measured(
            images=images,
            read=read,
            values={
                "Frechet distance": Value(
                    frechet_distance(fit_gaussian(features), self._gaussian),
                    jackknife_error(features, self._gaussian, asked),
                ),
                **self._measure_manifold(features),
                **(
                    {}
                    if asked is None
                    else {"label accuracy": share_of(label_accuracy(read, asked), len(read))}
                ),
                "largest class gap": _gap(read, expected, asked),
            },
            nearest_pixels=find_nearest(flatten_pixels(torch.from_numpy(images)), self._pixels),
            nearest_features=find_nearest(torch.from_numpy(features).float(), self._features),
        )

    def _measure_manifold(self, features: npt.NDArray[np.float64]) -> dict[str, Value]:
        manifold = measure_manifold(features, self._manifold)
        return {
            "precision": share_of(manifold.precision, len(features)),
            "recall": share_of(manifold.recall, len(self._manifold)),
            "density": Value(manifold.density, manifold.density_error),
            "coverage": share_of(manifold.coverage, len(self._manifold)),
        }


def share_of(share: float, count: int) -> Value:
    """Give a share of `count` digits its binomial standard error."""
    return Value(share, math.sqrt(share * (1 - share) / count))


def _gap(
    read: npt.NDArray[np.int64], expected: npt.NDArray[np.float64], asked: npt.NDArray[np.int64] | None
) -> Value:
    """Give the largest class gap the error of that class's share.

    It is binomial where classes come as they may. Where they were asked for, only the digits that are read
    as another one come and go.
    """
    worst, gap = class_gap(read, expected)
    if asked is None:
        return Value(gap, math.sqrt(expected[worst] * (1 - expected[worst]) / len(read)))
    moved = np.count_nonzero((read == worst) != (asked == worst))
    return Value(gap, math.sqrt(moved) / len(read))
