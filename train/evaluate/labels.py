"""Is it the digit that was asked for, and are all ten drawn equally?"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CLASSES = 10


def label_accuracy(read: npt.NDArray[np.int64], asked: npt.NDArray[np.int64]) -> float:
    """Return the share of digits int64 `[n]` that are read as what was asked for."""
    return float(np.mean(read == asked))


def class_shares(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return each digit's share of labels int64 `[n]`, float64 `[10]`."""
    return np.bincount(labels, minlength=CLASSES) / len(labels)


def class_gap(read: npt.NDArray[np.int64], expected: npt.NDArray[np.float64]) -> tuple[int, float]:
    """Return which digit's share among those read differs most from its expected share, and by how much.

    Args:
        read: int64 `[n]`, what the classifier reads.
        expected: float64 `[10]`: the shares that were asked for or, where a generator takes no label, those
            of the training digits.
    """
    gaps = np.abs(class_shares(read) - expected)
    return int(gaps.argmax()), float(gaps.max())
