"""How many digits show what few real ones do: what figures of features do not see.

    python -m tests.benchmarks.telltales --data ../mnist [MODEL ...]

A speck is one or two pixels brighter than a tenth of full ink, with nothing else lit in the 5 x 5 around, as
for `train.tidy`, which removes them; the longer side of what is not paper should be 20 pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from mnist_sample.modelfile import BUNDLED
from tests.benchmarks.arguments import Mnist, Models, start
from tests.benchmarks.rounds import print_table
from train.evaluate.mnist import load_mnist
from train.evaluate.samples import open_generator
from train.stray_ink import BOX, find_specks

Images = npt.NDArray[np.uint8]
"""Digits `[n, 28, 28]`, ink 255 on paper 0."""


def share_with_specks(images: Images) -> float:
    """Return the share of digits that have a speck."""
    specks = find_specks(torch.from_numpy(images)[:, None] / 255)
    return float(specks.flatten(1).any(1).float().mean())


def longer_sides(images: Images) -> npt.NDArray[np.int64]:
    """Return the longer side of the box around each digit's ink, however faint, in pixels."""
    ink = images > 0
    return np.maximum(*(_reach(np.any(ink, axis)) for axis in (1, 2)))


def _reach(inked: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Return how many lines it is from the first to the last of a digit's lines `[n, 28]` that has ink."""
    reach: npt.NDArray[np.int64] = inked.shape[1] - inked.argmax(1) - np.flip(inked, 1).argmax(1)
    return reach


def make_row(name: str, images: Images) -> list[str]:
    """Return a row of the table: how many have specks, and boxes of which size."""
    sides = longer_sides(images)
    boxes = [sides == BOX, sides == BOX + 1, sides > BOX + 1]
    shares = [share_with_specks(images), *(fitting.mean() for fitting in boxes)]
    return [name, *(f"{share:.1%}" for share in shares)]


def main(models: Models = None, data: Mnist = "auto") -> None:
    """Print the shares for the real test digits and for as many digits of each model."""
    real = load_mnist(data)
    rows = [make_row("real test digits", real.test_images.numpy())]
    for model in models or [BUNDLED]:
        rows.append(make_row(str(model), open_generator(model).draw(real.test_labels.numpy(), 0, 0)))
    print_table(["", "with a speck", f"a box of {BOX} pixels", f"of {BOX + 1}", "of more"], rows)


if __name__ == "__main__":
    start(main)
