"""Writes samples in MNIST's own format, as a folder that torchvision opens."""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from mnist_sample import contract
from mnist_sample.errors import UsageError
from mnist_sample.files import atomic_file, locked, new_folder, refuse_input, write_back_early
from mnist_sample.job import Job
from mnist_sample.process import signals_held
from mnist_sample.sampler import Samples

TEST_OFFSET: Final = 2**62
"""The test split's indices begin this far on: they meet no training digit of any shard."""
_TRAIN_PER_TEST: Final = 6
"""As in MNIST: 60,000 and 10,000."""
_IMAGES_MAGIC: Final = 0x00000803
_LABELS_MAGIC: Final = 0x00000801
_FOLDER: Final = Path("MNIST", "raw")
_NAMES: Final = tuple(
    f"{split}-{what}" for split in ("train", "t10k") for what in ("images-idx3-ubyte", "labels-idx1-ubyte")
)
_MAX_COUNT: Final = 2**32 - 1
"""The header counts in 32 bits."""
_MAX_LABEL: Final = 255


def count_test(n: int) -> int:
    """Return how many test digits go with `n` training digits."""
    return -(-n // _TRAIN_PER_TEST)


def check_idx(job: Job) -> None:
    """Refuse what the format cannot hold.

    Raises:
        UsageError: the samples have no labels, are too many, or reach into the test split's indices.
    """
    if not job.sampler.model.classes:
        raise UsageError("this model is unconditional, and an idx folder needs labels: use --format npy")
    if job.n > _MAX_COUNT or job.start + job.n >= TEST_OFFSET:
        raise UsageError(f"an idx folder holds up to {_MAX_COUNT} digits, of indices below {TEST_OFFSET - 1}")


def label_bytes(classes: tuple[str, ...]) -> NDArray[np.uint8]:
    """Return the byte that stands for each class, uint8 `[classes]`: its name where all are numbers that fit.

    Such names are the values of the labels file that the model was trained with; others are counted from 0.
    """
    numbers = [int(name) for name in classes if name.isascii() and name.isdecimal() and len(name) <= 3]
    if [str(number) for number in numbers] == list(classes) and max(numbers) <= _MAX_LABEL:
        return np.array(numbers, np.uint8)
    return np.arange(len(classes), dtype=np.uint8)


def draw_splits(job: Job) -> Generator[Samples]:
    """Yield the job's samples, then a sixth as many from index `start + 2**62` on, for the test split."""
    yield from job.draw()
    yield from job.draw(job.start + TEST_OFFSET, count_test(job.n))


def write_idx(root: Path, job: Job, batches: Iterable[Samples]) -> None:
    """Write `root/MNIST/raw` for `torchvision.datasets.MNIST(root)`, which wants all four files.

    Nothing is renamed into place before all is on disk, and then all four of one process before another's.

    Args:
        root: the folder to write, made if it is missing.
        job: how many samples go into the training split.
        batches: what `draw_splits` yields.

    Raises:
        OSError: the folder cannot be written.
        UsageError: the model's file is in the way.
    """
    folder = root / _FOLDER
    for name in _NAMES:
        refuse_input(folder / name, [job.sampler.model.path])
    with new_folder(folder):
        _write_files(folder, job, iter(batches))


def _write_files(folder: Path, job: Job, batches: Iterator[Samples]) -> None:
    with contextlib.ExitStack() as turn, contextlib.ExitStack() as held, contextlib.ExitStack() as stack:
        files = [stack.enter_context(atomic_file(folder / name)) for name in _NAMES]
        known = label_bytes(job.sampler.model.classes)
        _write_split(files[0], files[1], batches, job.n, known)
        _write_split(files[2], files[3], batches, count_test(job.n), known)
        for file in files:
            file.flush()
            os.fsync(file.fileno())
        turn.enter_context(locked(folder))
        held.enter_context(signals_held())  # a signal between two renames would leave files of two runs


def _write_split(
    images: BinaryIO, labels: BinaryIO, batches: Iterator[Samples], n: int, known: NDArray[np.uint8]
) -> None:
    images.write(struct.pack(">IIII", _IMAGES_MAGIC, n, contract.IMAGE_SIZE, contract.IMAGE_SIZE))
    labels.write(struct.pack(">II", _LABELS_MAGIC, n))
    for batch in write_back_early(images, batches):
        images.write(batch.images.data)
        labels.write(known[batch.labels].data)
        n -= len(batch.labels)
        if n <= 0:
            return
