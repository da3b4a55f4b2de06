"""How many digits have specks, lit pixels far from all others: what figures of features do not see.

    python -m tests.benchmarks.specks --data ../mnist [MODEL.onnx ...]

A speck is one or two pixels brighter than a tenth of full ink, with nothing else lit in the 5 x 5 around.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import torch
import typer
from torch.nn import functional as F

from mnist_sample import Sampler
from mnist_sample.modelfile import BUNDLED
from tests.benchmarks.arguments import Mnist, Models
from train.evaluate.mnist import load_mnist

LIT: Final = 24
SIDE: Final = 5
SPECK: Final = 2


def share_with_specks(images: npt.NDArray[np.uint8]) -> float:
    """Return the share of digits, uint8 `[n, 28, 28]` with ink 255, that have a speck."""
    lit = (torch.from_numpy(images)[:, None] > LIT).float()
    around = F.conv2d(lit, torch.ones(1, 1, SIDE, SIDE), padding=SIDE // 2)
    return float((lit * (around <= SPECK)).flatten(1).any(1).float().mean())


def main(models: Models = None, data: Mnist = "auto") -> None:
    """Print the share for the real test digits and for as many digits of each model."""
    real = load_mnist(data)
    print(f"{share_with_specks(real.test_images.numpy()):.1%} of the real test digits")
    for model in models or [BUNDLED]:
        images, _ = Sampler(model, provider="cpu").sample(len(real.test_labels), real.test_labels.numpy())
        print(f"{share_with_specks(images):.1%} of the digits of {model}")


if __name__ == "__main__":
    typer.run(main)
