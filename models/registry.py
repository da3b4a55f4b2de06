"""The architectures by name: a checkpoint names one, and nothing else is ever built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from models.digits import DigitsConfig, DigitsDiscriminator, DigitsGenerator
from models.tutorial import TutorialConfig, TutorialDiscriminator, TutorialGenerator

Config = DigitsConfig | TutorialConfig


@dataclass(frozen=True)
class Architecture:
    """A generator and the discriminator that trains it.

    Attributes:
        name: what `--arch` and a checkpoint call it.
        config: the dataclass of its shape; its constructor raises ValueError for a value out of range.
        generator: builds the generator from a config.
        discriminator: builds the discriminator that fits a config and a factor on its usual width.
        conditional: whether it can take labels.
        latent_weight: the generator's weight that meets the latents, of a layer without bias.
    """

    name: str
    config: Callable[..., Config]
    generator: Callable[[Any], nn.Module]
    discriminator: Callable[[Any, int], nn.Module]
    conditional: bool
    latent_weight: str


ARCHITECTURES: dict[str, Architecture] = {
    "digits": Architecture(
        name="digits",
        config=DigitsConfig,
        generator=DigitsGenerator,
        discriminator=lambda config, width: DigitsDiscriminator(config.classes, width=width),
        conditional=True,
        latent_weight="project.weight",
    ),
    "tutorial": Architecture(
        name="tutorial",
        config=TutorialConfig,
        generator=TutorialGenerator,
        discriminator=lambda _config, _width: TutorialDiscriminator(),
        conditional=False,
        latent_weight="latent_space.0.0.weight",
    ),
}


def get_architecture(name: str) -> Architecture:
    """Return the architecture called `name`.

    Raises:
        ValueError: no architecture has that name.
    """
    try:
        return ARCHITECTURES[name]
    except KeyError:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ValueError(f"unknown architecture {name!r}: this version knows {known}") from None
