"""Can a network that was trained to do so tell generated digits from real ones, and by what?

    python -m tests.benchmarks.two_samples --data ../mnist [MODEL.onnx ...]

A classifier two-sample test (Lopez-Paz and Oquab, arXiv 1610.06545): trained on the real training digits and
as many generated ones, new in each epoch, tested on the real test digits and as many generated ones. It sees
the digits as they are, and in black and white, which leaves their shapes. One that can only guess is right
half of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from mnist_sample.modelfile import BUNDLED
from tests.benchmarks.arguments import Mnist, Models, start
from train.evaluate.fit import FitConfig, accuracy, fit
from train.evaluate.mnist import RealDigits, load_mnist
from train.evaluate.samples import Draw, open_generator

CONFIG: Final = FitConfig(epochs=4)
FIRST_SEED: Final = 2_000_000
View = Callable[[Tensor], Tensor]
"""What of the digits, uint8 `[n, 28, 28]`, the network sees."""


def in_grey(images: Tensor) -> Tensor:
    """Leave the digits as they are."""
    return images


def in_black_and_white(images: Tensor) -> Tensor:
    """Leave the shape: full ink where there is half of it or more."""
    return (images >= 128).to(torch.uint8) * 255


VIEWS: Final[tuple[View, ...]] = (in_grey, in_black_and_white)


def tell_apart(real: RealDigits, draw: Draw, view: View) -> float:
    """Return how often a network that was trained to tell them apart is right."""

    def mix(genuine: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
        generated = torch.from_numpy(draw(labels.numpy(), FIRST_SEED + number, 0))
        return view(torch.cat([genuine, generated])), torch.arange(2).repeat_interleave(len(labels))

    network = fit(lambda epoch: mix(real.train_images, real.train_labels, epoch), CONFIG, 0)
    return accuracy(network, *mix(real.test_images, real.test_labels, CONFIG.epochs))


def main(models: Models = None, data: Mnist = "auto") -> None:
    """Print how well each model's digits can be told from real ones."""
    real = load_mnist(data)
    for model in models or [BUNDLED]:
        draw = open_generator(model).draw
        for view in VIEWS:
            right = tell_apart(real, draw, view)
            print(f"{right:.1%} right about {model} {view.__name__.replace('_', ' ')}", flush=True)


if __name__ == "__main__":
    start(main)
