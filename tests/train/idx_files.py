"""Small folders of IDX files, whole and damaged."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

IMAGES = "train-images-idx3-ubyte"
LABELS = "train-labels-idx1-ubyte"


def images_idx(images: npt.NDArray[np.uint8]) -> bytes:
    """Return an IDX file of images uint8 `[n, height, width]`."""
    return struct.pack(">4I", 0x803, *images.shape) + images.tobytes()


def labels_idx(labels: npt.NDArray[np.uint8]) -> bytes:
    """Return an IDX file of labels uint8 `[n]`."""
    return struct.pack(">2I", 0x801, len(labels)) + labels.tobytes()


def make_images(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Return images uint8 `[count, 28, 28]`: a bright box each, on paper."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28), np.uint8)
    for image, (top, left) in zip(images, random.integers(4, 12, (count, 2)), strict=True):
        image[top : top + 10, left : left + 8] = 220
    return images


def write_folder(
    folder: Path,
    classes: tuple[int, ...] | None = (0, 1, 2),
    count: int = 48,
    *,
    packed: bool = False,
    seed: int = 0,
) -> Path:
    """Write `count` training images whose labels take turns among `classes`; None writes no labels."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {IMAGES: images_idx(make_images(count, seed))}
    if classes is not None:
        files[LABELS] = labels_idx(np.resize(np.array(classes, np.uint8), count))
    for name, content in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)
    return folder
