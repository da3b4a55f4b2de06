"""What the objectives estimate is what they name, from whichever digits it is taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.digits import DigitsConfig, DigitsGenerator
from train.config import DEFAULTS
from train.distributed import World
from train.entropy import DIRECTIONS, FLOOR, generate_around, local_entropy
from train.objectives import Judge, bce_d, bce_g, relativistic_d, relativistic_g
from train.step import draw_moves, draw_probe

CPU = torch.device("cpu")
CONFIG = replace(DEFAULTS["digits"], batch_size=50)


def judge_by_ink(weight: float) -> Judge:
    """Return a discriminator that takes a digit for the more real the more ink it has; or the less."""
    return lambda images, *_: weight * images.flatten(1).mean(1, keepdim=True)


def test_each_side_is_paid_for_what_it_should_do() -> None:
    real, fake = torch.ones(4, 1, 28, 28), -torch.ones(4, 1, 28, 28)
    right, wrong, config = judge_by_ink(5.0), judge_by_ink(-5.0), replace(CONFIG, gamma=0.0)
    d_right, on_real = relativistic_d(right, real, fake, [], config, None)
    d_wrong = relativistic_d(wrong, real, fake, [], config, None)[0]
    assert d_right.loss < d_wrong.loss
    assert (d_right.curves < d_wrong.curves).all()
    deceives, caught = (relativistic_g(right, on_real, shown, [], config) for shown in (real, fake))
    assert deceives.loss < caught.loss
    assert deceives.curves[0] < caught.curves[0]
    assert bce_d(right, real, fake).loss < bce_d(wrong, real, fake).loss
    assert (bce_d(right, real, fake).curves < bce_d(wrong, real, fake).curves).all()
    assert bce_g(right, real).loss < bce_g(right, fake).loss
    heavy = relativistic_d(right, real, fake, [], replace(CONFIG, gamma=3.0), None)[0]
    assert heavy.penalty > 0
    assert heavy.loss.item() == pytest.approx((d_right.loss + heavy.penalty).item())


@pytest.mark.parametrize("every", [1, 4, 7])
def test_the_estimated_penalty_is_that_of_the_exact_gradient(every: int) -> None:
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(28 * 28, 1, generator=random)
    real, fake = torch.rand(2, CONFIG.batch_size, 1, 28, 28, generator=random)

    def judge(images: Tensor) -> Tensor:
        return images.flatten(1) @ weight

    config = replace(CONFIG, penalty_every=every, gamma=1.0)
    exact = relativistic_d(judge, real, fake, [], config, None)[0].penalty
    probes = [draw_probe(config, CPU, random, World()) for _ in range(200)]
    estimates = torch.stack([relativistic_d(judge, real, fake, [], config, p)[0].penalty for p in probes])
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


@pytest.mark.parametrize("size", [2, 3, 50])
def test_processes_move_the_same_latents_as_one_alone(size: int) -> None:
    latent = torch.randn(CONFIG.batch_size, 5)
    alone = draw_moves(CONFIG, latent, torch.Generator().manual_seed(0), World())
    worlds = [World(rank, size) for rank in range(size)]
    parts = [draw_moves(CONFIG, latent, torch.Generator().manual_seed(0), world) for world in worlds]
    pairs = [(world, part) for world, part in zip(worlds, parts, strict=True) if part]
    chosen = [world.part(latent)[part.rows] for world, part in pairs]
    assert alone
    assert torch.equal(torch.cat(chosen), latent[alone.rows])
    assert torch.equal(torch.cat([part.directions for _, part in pairs]), alone.directions)
    assert {part.weight for _, part in pairs} == {alone.weight}


def test_the_entropy_of_a_linear_generator_is_the_one_in_closed_form() -> None:
    latent = torch.randn(CONFIG.batch_size, 64, generator=torch.Generator().manual_seed(0))
    generator = nn.Linear(64, 784)
    moves = draw_moves(CONFIG, latent, torch.Generator().manual_seed(0), World())
    assert moves
    entropy = local_entropy(generate_around(generator, latent, [], moves))
    tangents = (moves.directions @ generator.weight.mT).double() / FLOOR
    expected = torch.logdet(torch.eye(DIRECTIONS) + tangents @ tangents.mT).sum() / 2
    assert entropy.item() == pytest.approx(expected.item(), rel=1e-3)


def test_the_entropy_is_that_of_sampling_and_leaves_the_generator_as_it_was() -> None:
    generator = DigitsGenerator(DigitsConfig())
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    latent, labels = torch.randn(CONFIG.batch_size, 64), [torch.arange(CONFIG.batch_size) % 10]
    moves = draw_moves(CONFIG, latent, torch.Generator().manual_seed(0), World())
    assert moves
    around = generate_around(generator, latent, labels, moves)
    assert generator.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in generator.state_dict().items())
    sampled = generator.eval()(latent, *labels)[moves.rows].flatten(1)
    assert torch.allclose(around[:, 0], sampled, atol=1e-5)


def test_legible_digits_cost_less_and_d_learns_to_read_from_real_ones_only() -> None:
    config = replace(CONFIG, legible=0.5, gamma=0.0)
    labels = torch.arange(20) % 10
    real, fake = torch.full((20, 1, 28, 28), 1.0), torch.full((20, 1, 28, 28), -1.0)

    def reads(right: float) -> Callable[..., Tensor]:
        """Return a judge that reads the right class from real (1) or from generated (-1) digits only."""

        def judge(images: Tensor, label: Tensor) -> Tensor:
            shown = torch.where(images[:, 0, 0, 0] == right, label, (label + 1) % 10)
            return torch.cat([0 * images[:, 0, 0, :1], 5.0 * F.one_hot(shown, 10)], dim=1)

        return judge

    def d_loss(judge: Callable[..., Tensor]) -> float:
        return relativistic_d(judge, real, fake, [labels], config, None)[0].loss.item()

    def g_loss(judge: Callable[..., Tensor]) -> float:
        return relativistic_g(judge, torch.zeros(20), fake, [labels], config).loss.item()

    assert d_loss(reads(1.0)) < d_loss(reads(-1.0))
    assert g_loss(reads(-1.0)) < g_loss(reads(1.0))
