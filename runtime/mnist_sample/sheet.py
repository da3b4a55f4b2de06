"""Draws samples side by side as one PNG."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from mnist_sample import contract
from mnist_sample.errors import UsageError
from mnist_sample.job import Job
from mnist_sample.png import SMALL, encode_png
from mnist_sample.sampler import Samples

_ONE_ROW: Final = 16
"""Up to so many digits stand in one row, as they are written."""
_MAX_PIXELS: Final = 80_000_000
"""Below the size at which Pillow warns of a decompression bomb on opening."""


def choose_columns(n: int, columns: int | None) -> int:
    """Return the digits per row: those asked for, else one row of a few or a square of many."""
    return min(n, columns or (n if n <= _ONE_ROW else math.ceil(math.sqrt(n))))


def check_sheet(n: int, columns: int | None, scale: int) -> None:
    """Refuse a sheet that picture viewers would refuse.

    Raises:
        UsageError: it would have more than 80 million pixels, or one digit of it would.
    """
    check_picture(scale)
    across = choose_columns(n, columns)
    if across * -(-n // across) * (contract.IMAGE_SIZE * scale) ** 2 > _MAX_PIXELS:
        raise UsageError(
            f"a sheet of {n} digits is too large for one picture: "
            "use a folder (--out digits/) or --out digits.npz"
        )


def check_picture(scale: int) -> None:
    """Refuse single digits that picture viewers would refuse.

    Raises:
        UsageError: each would have more than 80 million pixels.
    """
    if (contract.IMAGE_SIZE * scale) ** 2 > _MAX_PIXELS:
        raise UsageError(f"digits at scale {scale} are too large for pictures: use a smaller --scale")


def enlarge(pixels: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Return uint8 `[..., h * scale, w * scale]`, each pixel repeated."""
    return pixels if scale == 1 else pixels.repeat(scale, axis=-2).repeat(scale, axis=-1)


def arrange(images: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """Return images uint8 `[n, 28, 28]` as one uint8 `[rows * 28, columns * 28]`, the rest paper."""
    size = contract.IMAGE_SIZE
    rows = -(-len(images) // columns)
    cells = np.zeros((rows * columns, size, size), np.uint8)
    cells[: len(images)] = images
    return cells.reshape(rows, columns, size, size).swapaxes(1, 2).reshape(rows * size, columns * size)


def write_sheet(
    file: BinaryIO, job: Job, batches: Iterable[Samples], columns: int | None, scale: int
) -> None:
    """Write one PNG whose text chunks tell how to draw it again."""
    images = np.concatenate([batch.images for batch in batches])
    facts = {**job.facts(), "index": str(job.start), "n": str(job.n), "digit": job.name_digits()}
    pixels = enlarge(arrange(images, choose_columns(job.n, columns)), scale)
    file.write(encode_png(pixels.tobytes(), pixels.shape[1], facts, SMALL))
