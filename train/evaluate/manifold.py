"""Precision, recall, density and coverage of generated digits against real ones, in feature space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_fidelity.metric_prc import KEY_METRIC_PRECISION, KEY_METRIC_RECALL, prc_features_to_metric

NEIGHBOURS: Final = 5
"""k, for all four."""
CHUNK: Final = 1000
"""Rows of the distance matrix held at a time."""


@dataclass(frozen=True)
class Manifold:
    """How two sets of digits cover each other; each figure grows with quality.

    Attributes:
        precision: share of generated digits inside the real manifold (Kynkaanniemi et al., arXiv 1904.06991).
        recall: share of real digits inside the generated manifold.
        density: mean number of real k-balls around a generated digit, over k (Naeem et al.,
            arXiv 2002.09797); 1 is expected for equal distributions, and it may exceed 1.
        coverage: share of real k-balls that hold a generated digit (Naeem et al.).
    """

    precision: float
    recall: float
    density: float
    coverage: float


def measure_manifold(generated: npt.NDArray[np.float64], real: npt.NDArray[np.float64]) -> Manifold:
    """Compare features float64 `[n, d]` of generated digits with `[m, d]` of real ones.

    Precision and recall are torch-fidelity's. Float64 keeps the distances exact where the product form of
    `cdist` would lose the small ones.

    Raises:
        ValueError: a set has no more than `NEIGHBOURS` digits.
    """
    if min(len(generated), len(real)) <= NEIGHBOURS:
        raise ValueError(f"more than {NEIGHBOURS} digits are needed on each side")
    ours, theirs = torch.from_numpy(generated), torch.from_numpy(real)
    shared = prc_features_to_metric(
        ours, theirs, prc_neighborhood=NEIGHBOURS, prc_batch_size=CHUNK, save_cpu_ram=True, verbose=False
    )
    density, coverage = _density_and_coverage(ours, theirs)
    return Manifold(shared[KEY_METRIC_PRECISION], shared[KEY_METRIC_RECALL], density, coverage)


def _density_and_coverage(generated: Tensor, real: Tensor) -> tuple[float, float]:
    """Count the generated digits in each real digit's ball, whose radius reaches its k-th neighbour."""
    inside = 0
    covered = 0
    for chunk in real.split(CHUNK):
        # The nearest one is the digit itself.
        radius = torch.cdist(chunk, real).kthvalue(NEIGHBOURS + 1, dim=1, keepdim=True).values
        held = (torch.cdist(chunk, generated) <= radius).sum(dim=1)
        inside += int(held.sum())
        covered += int((held > 0).sum())
    return inside / (NEIGHBOURS * len(generated)), covered / len(real)
