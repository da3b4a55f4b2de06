"""The tutorial's generator and discriminator, block for block, with the least change that lets them run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.bounds import check_range

IMAGE_SIZE = 28
MAX_LATENT_DIM = 4096


@dataclass(frozen=True)
class TutorialConfig:
    """Shape of the tutorial's pair.

    Attributes:
        latent_dim: size of the latent vector; the tutorial uses 100.
        classes: always 0, since the tutorial's pair takes no label.

    Raises:
        ValueError: a value is out of range.
    """

    latent_dim: int = 100
    classes: int = 0

    def __post_init__(self) -> None:
        check_range("latent_dim", self.latent_dim, 1, MAX_LATENT_DIM)
        check_range("classes", self.classes, 0, 0)


class LinearBlock(nn.Sequential):
    """Linear, BatchNorm, LeakyReLU: float32 `[batch, in]` to `[batch, out]`."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(
            nn.Linear(in_features, out_features, bias=False),
            nn.BatchNorm1d(out_features),
            nn.LeakyReLU(0.2, inplace=True),
        )


class UpConvBlock(nn.Sequential):
    """ConvTranspose, BatchNorm, LeakyReLU: doubles height and width."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(0.2, inplace=True),
        )


class TutorialGenerator(nn.Module):
    """The tutorial's `Generator`: two linear blocks, two up-convolutions, a convolution and tanh.

    What had to change for the printed code to run, and nothing else:

    - The constructor takes the sizes that it uses; the printed call passes `hidden_dim`, which it does not.
    - The second linear block gives 49 x 7 x 7 features, as the reshape after it needs; printed, it gives 49.
    - `hidden_dim` is kept on the module, and `forward` calls the layers by the names they were given
      (`latent_space` is printed as `input_layer`).
    """

    def __init__(self, config: TutorialConfig) -> None:
        super().__init__()
        self.side = IMAGE_SIZE // 4
        self.hidden_dim = self.side**2
        self.latent_space = nn.Sequential(
            LinearBlock(config.latent_dim, self.hidden_dim),
            LinearBlock(self.hidden_dim, self.hidden_dim * self.side**2),
        )
        self.upsample_layer = nn.Sequential(
            UpConvBlock(self.hidden_dim, self.hidden_dim // 2),
            UpConvBlock(self.hidden_dim // 2, self.hidden_dim // 4),
        )
        self.output_layer = nn.Sequential(
            nn.Conv2d(self.hidden_dim // 4, 1, kernel_size=3, padding=1, bias=False),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor) -> Tensor:
        """Map float32 latents `[batch, latent_dim]` to samples `[batch, 1, 28, 28]` in [-1, 1]."""
        x = self.latent_space(latent)
        x = x.view(-1, self.hidden_dim, self.side, self.side)
        x = self.upsample_layer(x)
        sample: Tensor = self.output_layer(x)
        return sample


class ConvBlock(nn.Sequential):
    """Convolution without padding, BatchNorm, LeakyReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.LeakyReLU(0.2),
        )


class TutorialDiscriminator(nn.Module):
    """The tutorial's `Discriminator`: three convolution blocks with max-pooling, then a linear head.

    What had to change for the printed code to run: the constructor's argument is `hidden_channels`, where
    the printed call says `hidden_dim`.

    The head ends in `BatchNorm1d(1)`. It gives the logits of every batch the same mean and spread, and since
    the tutorial's loop sends real and generated digits in two batches, D cannot tell one from the other.
    `still_head` is the remedy that leaves the layers as they are.
    """

    def __init__(self, hidden_channels: int = 32) -> None:
        super().__init__()
        self.conv1 = ConvBlock(1, hidden_channels)
        self.conv2 = ConvBlock(hidden_channels, hidden_channels * 2)
        self.conv3 = ConvBlock(hidden_channels * 2, hidden_channels * 4)
        self.max_pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.out = nn.Sequential(
            nn.Linear(hidden_channels * 4, 1, bias=False),
            nn.BatchNorm1d(1),
        )

    def still_head(self) -> None:
        """Let the head's BatchNorm keep its first statistics, mean 0 and variance 1: a scale and a shift."""
        self.out[1].eval()

    def forward(self, x: Tensor) -> Tensor:
        """Map images `[batch, 1, 28, 28]` in [-1, 1] to logits `[batch, 1]`, positive for real."""
        x = self.max_pool(self.conv1(x))
        x = self.max_pool(self.conv2(x))
        x = self.max_pool(self.conv3(x))
        logits: Tensor = self.out(torch.flatten(x, 1))
        return logits
