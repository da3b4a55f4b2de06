"""Real MNIST for the evaluation: the digits that every figure is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from mnist_sample.errors import UsageError
from train.data import REMEDY, SOURCES, Dataset, Split, load_dataset
from train.idx import DataError

MNIST_SHA256: Final[dict[Split, str]] = {
    "train": "4c99a3ff1926f1de5a4095d3170732099e7b541b01cb96e0fa4fec414faf63d1",
    "t10k": "87ca4ee054bb70fd3b7d6ba8845440c449ff95328b13ee4a5ee86724ca5d70f6",
}
"""`Dataset.sha256`, of images and labels: with other labels all figures of labels would be wrong."""


@dataclass(frozen=True)
class RealDigits:
    """MNIST: images uint8 `[n, 28, 28]`, ink 255 on paper 0, and labels int64 `[n]`."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load_mnist(source: str) -> RealDigits:
    """Return both splits of MNIST.

    Args:
        source: a folder of MNIST's IDX files; `auto` and `mnist` look for them as training does.

    Raises:
        UsageError: `source` names the bundled digits.
        DataError: there is no MNIST there, or the digits there are not MNIST's.
    """
    if source == "bundled":
        raise UsageError("the evaluation compares with real digits: name MNIST's folder with --data DIR")
    if source not in SOURCES and not Path(source).is_dir():
        raise DataError(f"there is no folder {source}: name MNIST's with --data, or auto or mnist")
    train, test = _load_split(source, "train"), _load_split(source, "t10k")
    return RealDigits(*train, *test)


def _load_split(source: str, split: Split) -> tuple[Tensor, Tensor]:
    digits: Dataset = load_dataset("mnist" if source == "auto" else source, _refuse, split)
    if digits.labels is None or digits.sha256 != MNIST_SHA256[split]:
        raise DataError(
            f"{digits.source} does not hold MNIST with its own labels, and the evaluation's classifier knows "
            f"MNIST only: {REMEDY}"
        )
    # The arrays may be read-only views of a file's bytes, which torch does not take.
    return torch.from_numpy(digits.images.copy()), torch.from_numpy(digits.labels.copy())


def _refuse(warning: str) -> None:
    raise AssertionError(f"`mnist` never falls back, but: {warning}")
