"""How near do digits come to a training digit? Near-copies show as distances that real digits never have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

QUERIES: Final = 500
"""Digits compared at a time: with 60,000 training digits that is 120 MB of distances."""
NEAR_QUANTILE: Final = 0.01
"""A near-copy lies closer to a training digit than all but this share of the real test digits do."""


@dataclass(frozen=True)
class Nearest:
    """The nearest training digit of each digit.

    Attributes:
        distance: float64 `[n]`, Euclidean.
        index: int64 `[n]`, into the training digits.
    """

    distance: npt.NDArray[np.float64]
    index: npt.NDArray[np.int64]


def find_nearest(queries: Tensor, training: Tensor) -> Nearest:
    """Find each query's nearest training row, of float32 `[n, d]` among float32 `[m, d]`.

    The search uses the product form of the distance, which loses small differences in float32; the distance
    of the pair that it finds is then computed anew from the difference.
    """
    norms = training.square().sum(dim=1)
    found = []
    for chunk in queries.split(QUERIES):
        found.append(torch.addmm(norms, chunk, training.T, alpha=-2).argmin(dim=1))
    index = torch.cat(found)
    distance = (queries.double() - training[index].double()).square().sum(dim=1).sqrt()
    return Nearest(distance.numpy(), index.numpy())


def flatten_pixels(images: Tensor) -> Tensor:
    """Map images uint8 `[n, 28, 28]` to float32 `[n, 784]` in [0, 1]."""
    return images.flatten(1).float() / 255


def near_copies(
    distance: npt.NDArray[np.float64], real_distance: npt.NDArray[np.float64], quantile: float = NEAR_QUANTILE
) -> float:
    """Return the share of digits closer to a training digit than the real test digits' lower quantile.

    By its definition the real test digits' own share is `quantile`.
    """
    return float(np.mean(distance < np.quantile(real_distance, quantile)))
