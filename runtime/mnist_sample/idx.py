"""Writes samples in MNIST's own format, as a folder that torchvision opens."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from mnist_sample import contract
from mnist_sample.files import atomic_file
from mnist_sample.job import Job
from mnist_sample.sampler import Samples

TEST_OFFSET: Final = 2**62
"""The test split's indices begin this far on: they meet no training digit of any shard."""
_TRAIN_PER_TEST: Final = 6
"""As in MNIST: 60,000 and 10,000."""
_IMAGES_MAGIC: Final = 0x00000803
_LABELS_MAGIC: Final = 0x00000801
_FOLDER: Final = Path("MNIST", "raw")


def count_test(n: int) -> int:
    """Return how many test digits go with `n` training digits."""
    return -(-n // _TRAIN_PER_TEST)


def write_idx(root: Path, job: Job, batches: Iterable[Samples]) -> None:
    """Write `root/MNIST/raw` for `torchvision.datasets.MNIST(root)`.

    torchvision wants all four files. The training split holds the job's samples; the test split holds a sixth
    as many, from index `start + 2**62`. Nothing is renamed into place before all is on disk.

    Raises:
        OSError: the folder cannot be written.
    """
    folder = root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        names = [
            f"{split}-{what}"
            for split in ("train", "t10k")
            for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
        ]
        files = [stack.enter_context(atomic_file(folder / name)) for name in names]
        _write_split(files[0], files[1], batches, job.n)
        n_test = count_test(job.n)
        _write_split(files[2], files[3], job.draw(job.start + TEST_OFFSET, n_test), n_test)
        for file in files:
            file.flush()
            os.fsync(file.fileno())


def _write_split(images: BinaryIO, labels: BinaryIO, batches: Iterable[Samples], n: int) -> None:
    images.write(struct.pack(">IIII", _IMAGES_MAGIC, n, contract.IMAGE_SIZE, contract.IMAGE_SIZE))
    labels.write(struct.pack(">II", _LABELS_MAGIC, n))
    for batch in batches:
        images.write(batch.images.data)
        labels.write(batch.labels.astype(np.uint8).data)
