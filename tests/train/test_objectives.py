"""The estimated gradient penalty is that of the exact gradient, from whichever digits it is taken."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from train.config import DEFAULTS
from train.distributed import World
from train.objectives import relativistic_d
from train.step import draw_probe

CPU = torch.device("cpu")
CONFIG = replace(DEFAULTS["digits"], batch_size=50)


@pytest.mark.parametrize("every", [1, 4, 7])
def test_the_estimated_penalty_is_that_of_the_exact_gradient(every: int) -> None:
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(28 * 28, generator=random)
    real, fake = torch.rand(2, CONFIG.batch_size, 1, 28, 28, generator=random)

    def judge(images: Tensor) -> Tensor:
        return images.flatten(1) @ weight

    exact = relativistic_d(judge, real, fake, [], 1.0, None)[0].penalty
    config = replace(CONFIG, penalty_every=every)
    probes = [draw_probe(config, CPU, random, World()) for _ in range(200)]
    estimates = torch.stack([relativistic_d(judge, real, fake, [], 1.0, p)[0].penalty for p in probes])
    assert float(estimates.mean()) == pytest.approx(float(exact), rel=0.1)


@pytest.mark.parametrize("size", [2, 3, 50])
def test_processes_probe_the_same_digits_as_one_alone(size: int) -> None:
    digits = torch.arange(CONFIG.batch_size)
    alone = draw_probe(CONFIG, CPU, torch.Generator().manual_seed(0), World())
    worlds = [World(rank, size) for rank in range(size)]
    parts = [draw_probe(CONFIG, CPU, torch.Generator().manual_seed(0), world) for world in worlds]
    chosen = [world.part(digits)[part.rows] for world, part in zip(worlds, parts, strict=True)]
    assert torch.equal(torch.cat(chosen), digits[alone.rows])
    assert torch.equal(torch.cat([part.noise for part in parts], dim=1), alone.noise)
    assert {part.weight for part in parts} == {alone.weight}
