"""The training loop's running figure: the Frechet distance of generated digits, with no MNIST at hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from train.evaluate.features import FeatureExtractor
from train.evaluate.frechet import fit_gaussian, frechet_distance
from train.evaluate.reference import read_reference


class QuickFrechet:
    """Frechet distance to the 60,000 training digits, from statistics that ship with the project.

    Attributes:
        real: the same figure for the 10,000 real test digits; compare it with 10,000 generated ones,
            since the distance grows as the sample shrinks.
    """

    def __init__(self) -> None:
        self._extract = FeatureExtractor()
        reference = read_reference(self._extract.sha256)
        self._train = reference.train
        self.real = reference.test_distance

    def __call__(self, images: npt.NDArray[np.uint8]) -> float:
        """Return the distance for images uint8 `[n, 28, 28]`, ink 255 on paper 0; n is 2 or more."""
        features, _ = self._extract(images)
        return frechet_distance(fit_gaussian(features), self._train)
