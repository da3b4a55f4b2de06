"""Which class each sample shows, addressed by index so that shards agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from mnist_sample.errors import UsageError
from mnist_sample.randomness import draw_labels

Labels = SupportsIndex | Sequence[SupportsIndex] | NDArray[np.integer]
"""Class indices that a caller may ask for: one for all samples, or one for each."""
LabelSource = Callable[[int, int], NDArray[np.int64]]
"""`(start, n)` to the classes of samples `start` to `start + n`, int64 `[n]`; -1 where there are none."""
_NOT_FLAT: Final = "labels are one integer, or a flat sequence of integers"


def no_labels() -> LabelSource:
    """Return the labels of an unconditional model: -1 for every sample."""
    return lambda start, n: np.full(n, -1, dtype=np.int64)


def random_labels(seed: int, classes: int) -> LabelSource:
    """Return labels drawn uniformly from `(seed, index)`."""
    return lambda start, n: draw_labels(seed, start, n, classes)


def repeated_labels(pattern: Sequence[int]) -> LabelSource:
    """Return labels that repeat `pattern` from sample 0 on: sample i shows `pattern[i % len(pattern)]`."""
    cycle = np.asarray(pattern, dtype=np.int64)

    def pick(start: int, n: int) -> NDArray[np.int64]:
        return cycle[(np.arange(n) + start % len(cycle)) % len(cycle)]

    return pick


def given_labels(labels: NDArray[np.int64], first: int) -> LabelSource:
    """Return the labels of an array whose first entry belongs to sample `first`."""
    return lambda start, n: labels[start - first : start - first + n]


def choose_labels(
    labels: Labels | None,
    n: int | None,
    seed: int,
    start: int,
    classes: int,
) -> LabelSource:
    """Turn what a caller asked for into a source of labels.

    Raises:
        UsageError: labels for an unconditional model, out of range, of the wrong type, or not one for each
            of the `n` samples.
    """
    if classes == 0:
        if labels is not None:
            raise UsageError("this model is unconditional: it draws whatever comes, and takes no labels")
        return no_labels()
    if labels is None:
        return random_labels(seed, classes)
    try:
        wanted = np.asarray(labels)
    except ValueError:  # rows of several lengths
        raise UsageError(_NOT_FLAT) from None
    if (wanted.size and wanted.dtype.kind not in "iu") or wanted.ndim > 1:
        raise UsageError(_NOT_FLAT)
    if wanted.size and not 0 <= int(wanted.min()) <= int(wanted.max()) < classes:
        raise UsageError(f"labels are class indices from 0 to {classes - 1}")
    if wanted.ndim == 0:
        return repeated_labels([int(wanted)])
    if n != len(wanted):
        raise UsageError(
            f"{len(wanted)} labels do not fit {'endless' if n is None else n} samples: give one for each"
        )
    return given_labels(wanted.astype(np.int64), start)
