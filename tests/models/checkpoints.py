"""Checkpoints of untrained generators whose normalisation layers have something to fold."""

from __future__ import annotations

import torch
from torch import nn

from models.checkpoint import Checkpoint
from models.registry import get_architecture

SIZES = {"latent_dim": 64, "hidden": 128, "channels": 16, "blocks": 1}
"""Fixed here, since the defaults may change and tests name parts of the graph."""
KINDS: dict[str, tuple[str, dict[str, int]]] = {
    "digits": ("digits", SIZES),
    "unconditional": ("digits", {**SIZES, "classes": 0}),
    "tutorial": ("tutorial", {}),
}
"""The generators that every export test covers: architecture and configuration."""


def randomise_normalisation(module: nn.Module, random: torch.Generator) -> None:
    """Give every BatchNorm statistics and an affine map as training would; a fresh one folds trivially."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert layer.running_mean is not None
            assert layer.running_var is not None
            with torch.no_grad():
                layer.running_mean.normal_(generator=random)
                layer.running_var.uniform_(0.3, 3.0, generator=random)
                if layer.affine:
                    layer.weight.uniform_(0.5, 1.5, generator=random)
                    layer.bias.normal_(generator=random)


def make_checkpoint(kind: str = "digits", seed: int = 0) -> Checkpoint:
    """Return a checkpoint of one of `KINDS` with random weights."""
    name, values = KINDS[kind]
    architecture = get_architecture(name)
    config = architecture.config(**values)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = architecture.generator(config)
    randomise_normalisation(generator, torch.Generator().manual_seed(seed))
    return Checkpoint(
        architecture=name,
        config=config,
        class_names=tuple(str(digit) for digit in range(config.classes)),
        weights=dict(generator.state_dict()),
        training={"data": "none", "steps": 0, "seed": seed},
        evaluation={"accuracy": {"generated": 0.5, "real": 0.75}},
    )
