"""The better pair that the tutorial's missing part 3 promises: class-conditional, and made of fast layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.bounds import check_range

MAX_LATENT_DIM = 4096
MAX_CLASSES = 256
MAX_CHANNELS = 1024


@dataclass(frozen=True)
class DigitsConfig:
    """Shape of the `digits` generator.

    Attributes:
        latent_dim: size of the standard normal latent vector.
        classes: number of labels; 0 makes the pair unconditional.
        channels_7: feature maps at 7 x 7.
        channels_14: feature maps at 14 x 14. Multiples of 16 meet the fast paths of oneDNN and MLAS.

    Raises:
        ValueError: a value is out of range.
    """

    latent_dim: int = 64
    classes: int = 10
    channels_7: int = 32
    channels_14: int = 16

    def __post_init__(self) -> None:
        check_range("latent_dim", self.latent_dim, 1, MAX_LATENT_DIM)
        check_range("classes", self.classes, 0, MAX_CLASSES)
        check_range("channels_7", self.channels_7, 1, MAX_CHANNELS)
        check_range("channels_14", self.channels_14, 1, MAX_CHANNELS)


class ConvBlock(nn.Sequential):
    """3 x 3 convolution, BatchNorm, ReLU at constant size; export folds it into one node."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class DigitsGenerator(nn.Module):
    """A dense layer to 7 x 7, convolutions at 7 x 7 and 14 x 14, and PixelShuffle between the sizes.

    No layer works on 28 x 28 maps: those are bound by memory. The last convolution makes each 2 x 2 block
    of pixels as four channels at 14 x 14 (Shi et al., arXiv 1609.05158). The class enters as one learned
    bias of the first layer.
    """

    def __init__(self, config: DigitsConfig) -> None:
        super().__init__()
        self.channels_7 = config.channels_7
        features = config.channels_7 * 7 * 7
        self.project = nn.Linear(config.latent_dim, features, bias=False)
        self.embed = nn.Embedding(config.classes, features) if config.classes else None
        self.normalise = nn.BatchNorm2d(config.channels_7)
        self.blocks_7 = ConvBlock(config.channels_7, config.channels_7)
        self.widen = nn.Conv2d(config.channels_7, 4 * config.channels_14, kernel_size=1, bias=False)
        self.normalise_14 = nn.BatchNorm2d(config.channels_14)
        self.blocks_14 = ConvBlock(config.channels_14, config.channels_14)
        self.to_pixels = nn.Conv2d(config.channels_14, 4, kernel_size=3, padding=1)

    def forward(self, latent: Tensor, label: Tensor | None = None) -> Tensor:
        """Generate digits.

        Args:
            latent: float32 `[batch, latent_dim]`, standard normal.
            label: int64 `[batch]` in [0, classes); None for an unconditional generator.

        Returns:
            float32 `[batch, 1, 28, 28]` in [-1, 1].
        """
        x = self.project(latent)
        if self.embed is not None:
            x = x + self.embed(label)
        x = F.relu(self.normalise(x.view(-1, self.channels_7, 7, 7)))
        x = F.pixel_shuffle(self.widen(self.blocks_7(x)), 2)
        x = self.blocks_14(F.relu(self.normalise_14(x)))
        return torch.tanh(F.pixel_shuffle(self.to_pixels(x), 2))


class DigitsDiscriminator(nn.Module):
    """A small convolutional discriminator without normalisation, with a projection of the class.

    Projection: Miyato and Koyama, arXiv 1802.05637. No normalisation, since the gradient penalties need
    each image's logit to depend on that image alone.
    """

    def __init__(
        self, classes: int, channels_14: int = 32, channels_7: int = 64, features: int = 256
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, channels_14, kernel_size=3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels_14, channels_14, kernel_size=3, padding=1),
            nn.LeakyReLU(0.2),
            nn.PixelUnshuffle(2),
            nn.Conv2d(4 * channels_14, channels_7, kernel_size=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels_7, channels_7, kernel_size=3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(channels_7 * 7 * 7, features),
            nn.LeakyReLU(0.2),
        )
        self.logit = nn.Linear(features, 1)
        self.embed = nn.Embedding(classes, features) if classes else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=features**-0.5)

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Map images float32 `[batch, 1, 28, 28]` in [-1, 1] to logits float32 `[batch]`, high for real."""
        features = self.features(image).float()
        logits: Tensor = self.logit(features).squeeze(1)
        if self.embed is not None:
            logits = logits + (features * self.embed(label)).sum(1)
        return logits
