"""Frechet distance between sets of features (Heusel et al., arXiv 1706.08500)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch_fidelity.metric_fid import (
    KEY_METRIC_FID,
    fid_features_to_statistics,
    fid_statistics_to_metric,
)

JACKKNIFE_GROUPS: Final = 10


@dataclass(frozen=True)
class Gaussian:
    """The normal distribution fitted to a set of features.

    Attributes:
        mean: float64 `[features]`.
        covariance: float64 `[features, features]`.
        count: how many digits it was fitted to.
    """

    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    count: int


def fit_gaussian(features: npt.NDArray[np.float64]) -> Gaussian:
    """Fit a normal distribution to features float64 `[n, features]`."""
    statistics = fid_features_to_statistics(torch.from_numpy(features))
    return Gaussian(statistics["mu"], statistics["sigma"], len(features))


def frechet_distance(first: Gaussian, second: Gaussian) -> float:
    """Return the squared Frechet distance between two normal distributions.

    The arithmetic is torch-fidelity's, in float64. The distance between two finite draws of the same
    distribution is not 0; hence the figure for real test digits beside each one.
    """
    ours, theirs = ({"mu": one.mean, "sigma": one.covariance} for one in (first, second))
    return float(fid_statistics_to_metric(ours, theirs, verbose=False)[KEY_METRIC_FID])


def jackknife_error(
    features: npt.NDArray[np.float64],
    reference: Gaussian,
    asked: npt.NDArray[np.int64] | None = None,
    groups: int = JACKKNIFE_GROUPS,
) -> float:
    """Return the standard error of the distance of features float64 `[n, d]`, by leaving out groups in turn.

    Digits are dealt to the groups in turn, so that an order in the data does not matter (grouped jackknife:
    Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982). Where `asked`, int64 `[n]`, says
    what each should be, each class by itself: another draw would have the same mix of classes.
    """
    order = np.arange(len(features)) if asked is None else np.argsort(asked, kind="stable")
    member = np.empty(len(features), np.int64)
    member[order] = np.arange(len(features)) % groups
    values = [frechet_distance(fit_gaussian(features[member != group]), reference) for group in range(groups)]
    return float(np.sqrt((groups - 1) * np.var(values)))
