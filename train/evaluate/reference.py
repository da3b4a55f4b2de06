"""Statistics of the real digits' features, kept beside the classifier: no MNIST needed to use them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mnist_sample.errors import MnistSampleError
from mnist_sample.files import write_atomically
from train.evaluate.features import CLASSIFIER_PATH
from train.evaluate.frechet import Gaussian

REFERENCE_PATH: Final = CLASSIFIER_PATH.with_name("reference.npz")


@dataclass(frozen=True)
class Reference:
    """What the classifier says of real digits.

    Attributes:
        train: distribution of the 60,000 training digits' features.
        test_distance: Frechet distance of the 10,000 test digits to them: the floor.
        test_accuracy: share of the test digits that the classifier reads as their label.
        classifier_sha256: the classifier that all of this belongs to.
    """

    train: Gaussian
    test_distance: float
    test_accuracy: float
    classifier_sha256: str


def write_reference(reference: Reference, path: Path = REFERENCE_PATH) -> None:
    """Write the statistics as an `.npz`."""
    buffer = io.BytesIO()
    np.savez(
        buffer,
        mean=reference.train.mean,
        covariance=reference.train.covariance,
        count=reference.train.count,
        test_distance=reference.test_distance,
        test_accuracy=reference.test_accuracy,
        classifier_sha256=reference.classifier_sha256,
    )
    write_atomically(path, buffer.getvalue())


def read_reference(classifier_sha256: str, path: Path = REFERENCE_PATH) -> Reference:
    """Read the statistics of a classifier.

    Raises:
        MnistSampleError: they belong to another classifier.
    """
    with np.load(path, allow_pickle=False) as arrays:
        reference = Reference(
            train=Gaussian(arrays["mean"], arrays["covariance"], int(arrays["count"])),
            test_distance=float(arrays["test_distance"]),
            test_accuracy=float(arrays["test_accuracy"]),
            classifier_sha256=str(arrays["classifier_sha256"]),
        )
    if reference.classifier_sha256 != classifier_sha256:
        raise MnistSampleError(
            f"{path.name} belongs to another classifier than {CLASSIFIER_PATH.name}; "
            "make both anew with: python -m train.evaluate.classifier"
        )
    return reference
