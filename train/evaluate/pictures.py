"""The picture of an evaluation: a sheet of each class, and the digits closest to a training digit."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mnist_sample.files import write_atomically
from mnist_sample.sheet import arrange
from train.evaluate.evaluation import Evaluation
from train.evaluate.labels import CLASSES
from train.evaluate.measures import Measured

PER_CLASS: Final = 20
"""Digits of each class shown."""
PAIRS_PER_CLASS: Final = 2

Images = npt.NDArray[np.uint8]


def write_picture(evaluation: Evaluation, training: Images, path: Path) -> None:
    """Write the picture as PNG: generated digits on the left, real test digits on the right.

    Above stands a row for each class, uncurated: the first ones of the first draw and of the test digits.
    Below stand the two digits of each class that are closest to a training digit, by their pixels, with that
    training digit under each one.

    Args:
        evaluation: the measured digits.
        training: uint8 `[60000, 28, 28]`, the training digits.
        path: where to write it.

    Raises:
        OSError: it could not be written; what stood there stands there still.
    """
    generated, real = evaluation.draws[0], evaluation.real
    asked = generated.read if evaluation.asked is None else evaluation.asked
    figure = Figure(figsize=(14, 5.6), layout="constrained")
    axes = figure.subplots(2, 2, height_ratios=(CLASSES, 2))
    _show(axes[0, 0], tile_classes(generated.images, asked), "generated")
    _show(axes[0, 1], tile_classes(real.images, evaluation.labels), "real test digits")
    for axis, measured in ((axes[1, 0], generated), (axes[1, 1], real)):
        closest = find_closest(measured)
        _show(axis, tile_pairs(measured, training, closest), "closest above their nearest training digit")
        size = measured.images.shape[-1]
        axis.set_xticks(
            np.arange(len(closest)) * size + size / 2,
            [f"{distance:.1f}" for distance in measured.nearest_pixels.distance[closest]],
            fontsize="small",
        )
        axis.set_xlabel("distance of the pair, with pixels in [0, 1]")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_atomically(path, buffer.getvalue())


def _show(axis: Axes, tiles: Images, title: str) -> None:
    axis.imshow(tiles, cmap="gray", interpolation="nearest")
    axis.set(title=title, xticks=[], yticks=[])


def tile_classes(images: Images, labels: npt.NDArray[np.int64]) -> Images:
    """Return the first `PER_CLASS` images of each class as rows, uint8 `[10 * 28, PER_CLASS * 28]`."""
    cells = np.zeros((CLASSES, PER_CLASS, *images.shape[1:]), np.uint8)
    for digit in range(CLASSES):
        first = images[labels == digit][:PER_CLASS]
        cells[digit, : len(first)] = first
    return arrange(cells.reshape(-1, *images.shape[1:]), PER_CLASS)


def find_closest(measured: Measured) -> npt.NDArray[np.int64]:
    """Return the digits closest to a training digit, `PAIRS_PER_CLASS` of each class read, as indices.

    Over all classes together they would all be ones, whose few pixels of ink are never far apart.
    """
    by_distance = np.argsort(measured.nearest_pixels.distance, kind="stable")
    classes = measured.read[by_distance]
    return np.concatenate([by_distance[classes == digit][:PAIRS_PER_CLASS] for digit in range(CLASSES)])


def tile_pairs(measured: Measured, training: Images, chosen: npt.NDArray[np.int64]) -> Images:
    """Return the chosen digits over their nearest training digits, uint8 `[2 * 28, chosen * 28]`."""
    nearest = training[measured.nearest_pixels.index[chosen]]
    return arrange(np.concatenate([measured.images[chosen], nearest]), len(chosen))
