"""The better pair that the tutorial's missing part 3 promises: class-conditional, and made of fast layers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.bounds import check_range

SIDE = 14
"""Both networks work on 14 x 14 maps of 2 x 2 pixels: layers on 28 x 28 maps are bound by memory."""
MAX_LATENT_DIM = 4096
MAX_CLASSES = 256
MAX_HIDDEN = 4096
MAX_CHANNELS = 256
MAX_BLOCKS = 16


@dataclass(frozen=True)
class DigitsConfig:
    """Shape of the `digits` generator.

    Attributes:
        latent_dim: size of the standard normal latent vector.
        classes: number of labels; 0 makes the pair unconditional.
        hidden: width of the dense layer in which latent and class meet.
        channels: feature maps at 14 x 14. Multiples of 16 meet the fast paths of oneDNN and MLAS.
        blocks: convolutions at 14 x 14 before the one that makes pixels.

    Raises:
        ValueError: a value is out of range.
    """

    latent_dim: int = 64
    classes: int = 10
    hidden: int = 128
    channels: int = 16
    blocks: int = 1

    def __post_init__(self) -> None:
        check_range("latent_dim", self.latent_dim, 1, MAX_LATENT_DIM)
        check_range("classes", self.classes, 0, MAX_CLASSES)
        check_range("hidden", self.hidden, 1, MAX_HIDDEN)
        check_range("channels", self.channels, 1, MAX_CHANNELS)
        check_range("blocks", self.blocks, 0, MAX_BLOCKS)


class ConvBlock(nn.Sequential):
    """3 x 3 convolution, BatchNorm, ReLU at constant size; export folds it into one node."""

    def __init__(self, channels: int) -> None:
        super().__init__(
            nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
        )


class DigitsGenerator(nn.Module):
    """Two dense layers to 14 x 14 maps, convolutions there, and PixelShuffle to 28 x 28.

    The dense layers do most of the work: one matrix product over the whole batch is what processors run
    fastest. The last convolution makes each 2 x 2 block of pixels as four channels (Shi et al.,
    arXiv 1609.05158). The class enters as a learned bias of the first layer.
    """

    def __init__(self, config: DigitsConfig) -> None:
        super().__init__()
        self.channels = config.channels
        self.project = nn.Linear(config.latent_dim, config.hidden, bias=False)
        self.embed = nn.Embedding(config.classes, config.hidden) if config.classes else None
        self.normalise_hidden = nn.BatchNorm1d(config.hidden)
        self.spread = nn.Linear(config.hidden, config.channels * SIDE * SIDE, bias=False)
        self.normalise_maps = nn.BatchNorm2d(config.channels)
        self.blocks = nn.Sequential(*(ConvBlock(config.channels) for _ in range(config.blocks)))
        self.to_pixels = nn.Conv2d(config.channels, 4, kernel_size=3, padding=1)

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
        x = self.spread(F.relu(self.normalise_hidden(x)))
        x = F.relu(self.normalise_maps(x.view(-1, self.channels, SIDE, SIDE)))
        # Clipped, not squashed: most of a digit is paper, and exactly paper.
        return F.hardtanh(F.pixel_shuffle(self.to_pixels(self.blocks(x)), 2))


class ChannelsLastFlatten(nn.Module):
    """Flatten `[batch, channels, h, w]` to `[batch, h * w * channels]`: a view of channels-last memory.

    A plain Flatten would copy, and send the gradient back in a layout that slows all elementwise work.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return `[batch, h * w * channels]`."""
        return x.permute(0, 2, 3, 1).flatten(1)


class DigitsDiscriminator(nn.Module):
    """A small convolutional discriminator without normalisation, with a projection of the class.

    Projection: Miyato and Koyama, arXiv 1802.05637; beside it stands a linear classifier (Odena et al., arXiv
    1610.09585), for losses that ask which class an image shows. No normalisation, since the gradient
    penalties need each image's logit to depend on that image alone. Small, since more steps of it are worth
    more than the fewer of a larger one in the same time; `width` times as wide where there is time for both.
    """

    def __init__(
        self, classes: int, channels_14: int = 16, channels_7: int = 48, features: int = 256, width: int = 1
    ) -> None:
        super().__init__()
        channels_14, channels_7, features = (width * size for size in (channels_14, channels_7, features))
        self.features = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(4, channels_14, kernel_size=3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels_14, channels_7, kernel_size=4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(channels_7, channels_7, kernel_size=3, padding=1),
            nn.LeakyReLU(0.2),
            ChannelsLastFlatten(),
            nn.Linear(channels_7 * 7 * 7, features),
            nn.LeakyReLU(0.2),
        )
        self.logit = nn.Linear(features, 1)
        self.embed = nn.Embedding(classes, features) if classes else None
        if self.embed is not None:
            nn.init.normal_(self.embed.weight, std=features**-0.5)
        self.classify = nn.Linear(features, classes) if classes else None

    def forward(self, image: Tensor, label: Tensor | None = None) -> Tensor:
        """Judge images float32 `[batch, 1, 28, 28]` in [-1, 1] with labels int64 `[batch]`.

        Returns:
            float32 `[batch, 1 + classes]`: a logit that is high for a real image of that class, then one for
            each class, the highest for the one that the image shows.
        """
        features = self.features(image).float()
        real: Tensor = self.logit(features)
        if self.embed is None or self.classify is None:
            return real
        real = real + (features * self.embed(label)).sum(1, keepdim=True)
        return torch.cat([real, self.classify(features).float()], dim=1)
