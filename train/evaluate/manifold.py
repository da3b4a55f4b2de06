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
        density_error: standard error of the density, from its spread over the generated digits.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    density_error: float


def measure_manifold(generated: npt.NDArray[np.float64], real: npt.NDArray[np.float64]) -> Manifold:
    """Compare features float64 `[n, d]` of generated digits with `[m, d]` of real ones.

    Precision and recall are torch-fidelity's. Distances are taken in float32: its rounding is far below the
    balls' radii, and it takes half the time.

    Raises:
        ValueError: a set has no more than `NEIGHBOURS` digits.
    """
    if min(len(generated), len(real)) <= NEIGHBOURS:
        raise ValueError(f"more than {NEIGHBOURS} digits are needed on each side")
    ours, theirs = torch.from_numpy(generated).float(), torch.from_numpy(real).float()
    shared = prc_features_to_metric(
        ours, theirs, prc_neighborhood=NEIGHBOURS, prc_batch_size=CHUNK, save_cpu_ram=True, verbose=False
    )
    balls, coverage = _count_balls(ours, theirs)
    return Manifold(
        precision=shared[KEY_METRIC_PRECISION],
        recall=shared[KEY_METRIC_RECALL],
        density=float(balls.mean()) / NEIGHBOURS,
        coverage=coverage,
        density_error=float(balls.std()) / NEIGHBOURS / len(balls) ** 0.5,
    )


def _count_balls(generated: Tensor, real: Tensor) -> tuple[Tensor, float]:
    """Count the real balls that each generated digit lies in, and the share of balls that hold any.

    A real digit's ball reaches to its k-th neighbour among the real ones.
    """
    balls = torch.zeros(len(generated))
    covered = 0
    for chunk in real.split(CHUNK):
        # The nearest one is the digit itself.
        radius = torch.cdist(chunk, real).kthvalue(NEIGHBOURS + 1, dim=1, keepdim=True).values
        held = torch.cdist(chunk, generated) <= radius
        balls += held.sum(dim=0)
        covered += int(held.any(dim=1).sum())
    return balls, covered / len(real)
