"""Classification accuracy score: a classifier trained on generated digits, tested on real ones.

Ravuri and Vinyals, arXiv 1905.10887.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch
from torch import Tensor

from train.evaluate.fit import FitConfig, Source, accuracy, fit
from train.evaluate.mnist import RealDigits
from train.evaluate.network import NetworkConfig
from train.evaluate.samples import Draw

CAS_CONFIG: Final = FitConfig(network=NetworkConfig(channels_14=32, channels_7=64), epochs=3)
LATENTS_SEED: Final = 1_000_000
"""First seed of the latents: none of these digits is among those of the other figures."""


@dataclass(frozen=True)
class CasResult:
    """Accuracies on the 10,000 real test digits, one per seed.

    Attributes:
        digits: how many digits a training set has.
        epochs: passes over it.
        real: trained on the real training digits.
        generated: trained on as many generated digits with the same labels.
        fresh: trained on new generated digits in each epoch; empty where that was not asked for.
    """

    digits: int
    epochs: int
    real: list[float] = field(default_factory=list)
    generated: list[float] = field(default_factory=list)
    fresh: list[float] = field(default_factory=list)


def measure_cas(
    draw: Draw,
    real: RealDigits,
    seeds: int,
    fresh: bool,
    progress: Callable[[int, int], None],
    config: FitConfig = CAS_CONFIG,
) -> CasResult:
    """Train the same classifier on real and on generated digits, once per seed.

    A seed decides the classifier's initial weights, order and shifts, the same for real and for generated
    digits, and which digits are generated.

    Args:
        draw: the generator.
        real: MNIST.
        seeds: how many.
        fresh: also train on digits that are new in each epoch: a generator never runs out.
        progress: called with (trainings done, trainings in all).
        config: the classifier and its schedule.
    """
    result = CasResult(len(real.train_images), config.epochs)
    sources = {
        "real": lambda seed: lambda epoch: (real.train_images, real.train_labels),
        "generated": lambda seed: _draw_once(draw, real.train_labels, seed),
        **({"fresh": lambda seed: _draw_fresh(draw, real.train_labels, seed)} if fresh else {}),
    }
    done = 0
    for seed in range(seeds):
        for name, make_source in sources.items():
            progress(done, seeds * len(sources))
            network = fit(make_source(seed), config, seed)
            getattr(result, name).append(accuracy(network, real.test_images, real.test_labels))
            done += 1
    return result


def _draw_once(draw: Draw, labels: Tensor, seed: int) -> Source:
    images = torch.from_numpy(draw(labels.numpy(), LATENTS_SEED + seed, 0))
    return lambda _epoch: (images, labels)


def _draw_fresh(draw: Draw, labels: Tensor, seed: int) -> Source:
    # The first epoch's digits are those of _draw_once.
    def source(epoch: int) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(draw(labels.numpy(), LATENTS_SEED + seed, epoch * len(labels))), labels

    return source


def mean_and_spread(accuracies: list[float]) -> tuple[float, float]:
    """Return the mean and the standard deviation over seeds; 0 for a single seed."""
    return float(np.mean(accuracies)), float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else 0.0
