"""Can a network that was trained to do so tell generated digits from real ones, and by what?

    python -m tests.benchmarks.two_samples --data ../mnist [MODEL.onnx ...]

A classifier two-sample test (Lopez-Paz and Oquab, arXiv 1610.06545): trained on the real training digits and
as many generated ones, new in each epoch, tested on the real test digits and as many generated ones. It sees
the digits as they are, and in black and white, which leaves their shapes. One that can only guess is right
half of the time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
import typer
from torch import Tensor

from mnist_sample.modelfile import BUNDLED
from train.evaluate.fit import FitConfig, accuracy, fit
from train.evaluate.mnist import RealDigits, load_mnist
from train.evaluate.samples import open_generator

CONFIG: Final = FitConfig(epochs=2)
FIRST_SEED: Final = 2_000_000
Pretend = Callable[[Tensor, int], Tensor]
"""Labels int64 `[n]` and a seed -> what should pass for real digits, uint8 `[n, 28, 28]`."""


def in_grey(images: Tensor) -> Tensor:
    """Leave the digits as they are."""
    return images


def in_black_and_white(images: Tensor) -> Tensor:
    """Leave the shape: full ink where there is half of it or more."""
    return (images >= 128).to(torch.uint8) * 255


VIEWS: Final = (in_grey, in_black_and_white)


def tell_apart(real: RealDigits, pretend: Pretend, view: Callable[[Tensor], Tensor]) -> float:
    """Return how often a network that was trained to tell them apart is right."""
    genuine, labels = real.train_images, real.train_labels
    answers = torch.arange(2).repeat_interleave(len(genuine))

    def mix(epoch: int) -> tuple[Tensor, Tensor]:
        return view(torch.cat([genuine, pretend(labels, FIRST_SEED + epoch)])), answers

    network = fit(mix, CONFIG, 0)
    asked = torch.cat([real.test_images, pretend(real.test_labels, FIRST_SEED + CONFIG.epochs)])
    return accuracy(network, view(asked), torch.arange(2).repeat_interleave(len(real.test_labels)))


def draw_from(model: Path) -> Pretend:
    """Return what draws a model's digits."""
    draw = open_generator(model).draw
    return lambda labels, seed: torch.from_numpy(np.asarray(draw(labels.numpy(), seed, 0)))


def main(
    models: Annotated[
        list[Path] | None, typer.Argument(help="Model files; the bundled one by default.")
    ] = None,
    data: Annotated[str, typer.Option(help="Where MNIST is: auto or its folder.")] = "auto",
) -> None:
    """Print how well each model's digits can be told from real ones."""
    real = load_mnist(data)
    for model in models or [BUNDLED]:
        for view in VIEWS:
            right = tell_apart(real, draw_from(model), view)
            print(f"{right:.1%} right about {model} {view.__name__.replace('_', ' ')}", flush=True)


if __name__ == "__main__":
    typer.run(main)
