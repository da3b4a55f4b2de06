"""The digit classifier's network: its last hidden layer is the feature space of the evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a classifier.

    Attributes:
        channels_14: feature maps at 14 x 14.
        channels_7: feature maps at 7 x 7.
        features: size of the last hidden layer.
    """

    channels_14: int = 48
    channels_7: int = 80
    features: int = 64


class Classifier(nn.Module):
    """Four 3 x 3 convolutions on folded pixels, then one hidden layer.

    PixelUnshuffle folds 2 x 2 pixels into channels, so that no convolution works on 28 x 28 maps.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        wide, deep = config.channels_14, config.channels_7
        self.hidden = nn.Sequential(
            nn.PixelUnshuffle(2),
            *_convolve(4, wide),
            *_convolve(wide, wide),
            nn.MaxPool2d(2),
            *_convolve(wide, deep),
            *_convolve(deep, deep),
            nn.MaxPool2d(2, padding=1),
            nn.Flatten(),
            nn.Linear(deep * 4 * 4, config.features, bias=False),
            nn.BatchNorm1d(config.features),
            nn.ReLU(),
        )
        self.head = nn.Linear(config.features, 10)

    def forward(self, sample: Tensor) -> tuple[Tensor, Tensor]:
        """Map images float32 `[batch, 1, 28, 28]` in [-1, 1] to logits `[batch, 10]` and features."""
        features = self.hidden(sample)
        return self.head(features), features


def _convolve(in_channels: int, out_channels: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )
