"""The running figure of quality: how far the averaged generator's digits are from real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch

from train.data import Dataset
from train.evaluate.quick import QuickFrechet
from train.pictures import to_pixels
from train.run_folder import generate
from train.state import State

DIGITS: Final = 10_000
"""As many as the real test digits, whose own distance stands beside the figure."""
LATENTS_SEED: Final = 1

Quality = Callable[[State], dict[str, float]]
"""Measures the averaged generator: figure name -> value; it leaves the run's randomness alone."""


def make_quality(data: Dataset) -> Quality:
    """Return the measure for a run on these data: it knows the ten digits and nothing else."""
    if data.kind == "folder":
        return lambda _state: {}
    measure = QuickFrechet()
    # MNIST's classes are not equally frequent, and the distance is small enough to show it.
    labels = None if data.labels is None else torch.from_numpy(np.resize(data.labels, DIGITS))

    def distance(state: State) -> dict[str, float]:
        images = to_pixels(generate(state, DIGITS, LATENTS_SEED, labels)).squeeze(1).cpu().numpy()
        return {"frechet": round(measure(images), 3), "frechet_real": round(measure.real, 3)}

    return distance
