"""Where the digits come from: MNIST, any folder of IDX files, or the bundled generator."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from mnist_sample.errors import UsageError
from mnist_sample.modelfile import BUNDLED
from train.idx import IMAGES_MAGIC, DataError, find_idx, read_images, read_labels

Split = Literal["train", "t10k"]
Kind = Literal["mnist", "bundled", "folder"]

SOURCES: Final = ("auto", "mnist", "bundled")
"""What `--data` may name beside a folder."""
DOWNLOAD_FOLDER: Final = Path("data")
RAW_FOLDER: Final = Path("MNIST", "raw")
"""Where torchvision puts the files below its root."""
REMEDY: Final = "name MNIST's folder with --data DIR"
DOWNLOAD_TIMEOUT_SECONDS: Final = 10.0
BUNDLED_DIGITS: Final = 60_000
MNIST_IMAGES_SHA256: Final = {
    "train": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "t10k": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
}
"""Of the uncompressed images files, so that MNIST is known by what it is and not by its folder."""


@dataclass(frozen=True)
class Dataset:
    """Labelled or unlabelled digits.

    Attributes:
        name: what they are, for people: MNIST, a folder's name, or the bundled generator.
        images: uint8 `[n, 28, 28]`, ink 255 on paper 0.
        labels: int64 `[n]` in [0, classes); None where the folder has no labels.
        class_names: one per label index, the value that the labels file has for it; empty without labels.
        sha256: of shapes and values, lower-case hex: equal data have equal digests, however they are packed.
        kind: `mnist` for MNIST itself, wherever it lay; `bundled` for the stand-in; `folder` for all else.
        source: what `--data` finds them by again: their folder, or `bundled`.
    """

    name: str
    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64] | None
    class_names: tuple[str, ...]
    sha256: str
    kind: Kind
    source: str

    @property
    def seen_mnist(self) -> bool:
        """Whether a model of these data has seen MNIST."""
        return self.kind == "mnist"


def load_dataset(source: str, warn: Callable[[str], None], split: Split = "train") -> Dataset:
    """Return the digits that `--data` names.

    Args:
        source: `auto`, `mnist`, `bundled`, or a folder of IDX files under MNIST's names, plain or `.gz`.
        warn: takes what the user should not overlook; called where the digits are the bundled generator's.
        split: `train`, or `t10k` for the test digits.

    Raises:
        UsageError: `source` is empty.
        DataError: nothing was found, or what was found is damaged, or it is other than the MNIST that was
            asked for; the message names the remedy.
    """
    if not source:  # an unset variable, and not the current folder
        raise UsageError(f"--data is empty: name a folder of IDX files, or {', '.join(SOURCES)}")
    digits = _find_digits(source, warn, split)
    if source == "mnist" and digits.kind != "mnist":
        raise DataError(f"{digits.source} holds other digits than MNIST, which `mnist` never takes: {REMEDY}")
    return digits


def _find_digits(source: str, warn: Callable[[str], None], split: Split) -> Dataset:
    if source == "bundled":
        return _draw_bundled("--data bundled was asked for", warn)
    if source not in ("auto", "mnist"):
        return read_folder(Path(source), split)
    if named := os.environ.get("MNIST_DIR"):
        # A folder that someone named and mistyped must not be passed over in silence.
        try:
            return read_folder(Path(named), split)
        except MissingError as error:
            raise MissingError(f"MNIST_DIR: {error}") from error
    with contextlib.suppress(MissingError):
        return read_folder(DOWNLOAD_FOLDER, split)
    try:
        _download()
        return read_folder(DOWNLOAD_FOLDER, split)
    except MissingError as failed:
        if source == "mnist":
            raise
        return _draw_bundled(str(failed).partition(":")[0], warn)


def name_files(source: str) -> list[Path]:
    """Return the IDX files of both splits that `load_dataset` may read: nothing may be written over them."""
    folder = Path(os.environ.get("MNIST_DIR") or DOWNLOAD_FOLDER) if source in SOURCES else Path(source)
    return [path for place in (folder, folder / RAW_FOLDER) for path in place.glob("*-ubyte*")]


class MissingError(DataError):
    """No digits there: another source may be tried. Damaged digits are never passed over."""


def read_folder(folder: Path, split: Split = "train") -> Dataset:
    """Read one split of a folder of IDX files or, where it has none, of torchvision's `MNIST/raw` below it.

    Raises:
        DataError: no images of that split, a damaged file, or labels out of step with the images.
    """
    try:
        source = Path(os.path.realpath(folder))  # Path.resolve fails in its own way where links go round
        images_path, labels_path = _find_files(folder, split)
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from error
    images, labels = read_images(images_path), None
    if labels_path is not None:
        labels = read_labels(labels_path).astype(np.int64)
        if len(labels) != len(images):
            raise DataError(
                f"{labels_path} has {len(labels)} labels for {len(images)} images: the two files do not "
                "belong together"
            )
    is_mnist = _hash_images(images).hexdigest() == MNIST_IMAGES_SHA256[split]
    kind: Kind = "mnist" if is_mnist else "folder"
    return _make_dataset("MNIST" if is_mnist else source.name, images, labels, kind, str(source))


def _find_files(folder: Path, split: Split) -> tuple[Path, Path | None]:
    """Return the files of images and of labels, which need not be there."""
    if not folder.is_dir():
        raise MissingError(
            f"there is no folder {folder}: name one with IDX files in it, or {', '.join(SOURCES)}"
        )
    name = f"{split}-images-idx3-ubyte"
    place, images = folder, find_idx(folder, name)
    if images is None and (folder / RAW_FOLDER).is_dir():
        place = folder / RAW_FOLDER
        images = find_idx(place, name)
    if images is None:
        raise _explain_missing(place, split)
    labels = find_idx(place, f"{split}-labels-idx1-ubyte")
    if labels is None:
        _refuse_misnamed_labels(folder, split)
    return images, labels


def _refuse_misnamed_labels(folder: Path, split: Split) -> None:
    """Refuse labels elsewhere or misnamed: passed over, they would be missed when the training is done.

    Raises:
        DataError: there are such.
    """
    for path in (*folder.iterdir(), *(folder / RAW_FOLDER).glob("*")):
        if path.name.lower().startswith(f"{split}-labels"):
            raise DataError(
                f"{path} is not read as the labels: name it {split}-labels-idx1-ubyte (or .gz) beside the "
                "images, or move it away to train without labels"
            )


def _make_dataset(
    name: str,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64] | None,
    kind: Kind,
    source: str,
) -> Dataset:
    digest = _hash_images(images)
    values: list[int] = []
    if labels is not None:
        digest.update(labels.astype(np.uint8).tobytes())
        # Labels may begin at 1 or leave gaps: classes are those that occur, named by their values.
        present, labels = np.unique(labels, return_inverse=True)
        values = present.tolist()
    return Dataset(
        name=name,
        images=images,
        labels=labels,
        class_names=tuple(str(value) for value in values),
        sha256=digest.hexdigest(),
        kind=kind,
        source=source,
    )


def _hash_images(images: npt.NDArray[np.uint8]) -> hashlib._Hash:
    """Return the digest of an uncompressed IDX file of these images."""
    digest = hashlib.sha256(np.array([IMAGES_MAGIC, *images.shape], dtype=">u4").tobytes())
    digest.update(np.ascontiguousarray(images).data)
    return digest


def _explain_missing(folder: Path, split: Split) -> DataError:
    other = "t10k" if split == "train" else "train"
    if find_idx(folder, f"{other}-images-idx3-ubyte") is not None:
        return DataError(
            f"{folder} has only the {other} files: {split}-images-idx3-ubyte (or .gz) is missing there"
        )
    return MissingError(
        f"{folder} has no {split}-images-idx3-ubyte, plain or .gz: name the folder that has it, or rename "
        "the file to that"
    )


def _download() -> None:
    """Download MNIST through torchvision, quietly, and give up soon where there is no network.

    A broken download leaves nothing behind: the files move to their place when all of them are whole.
    """
    from torchvision.datasets import MNIST

    previous, ours = socket.getdefaulttimeout(), not DOWNLOAD_FOLDER.exists()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
    try:
        DOWNLOAD_FOLDER.mkdir(exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=DOWNLOAD_FOLDER, prefix=".download-") as folder,
            contextlib.redirect_stderr(io.StringIO()),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            MNIST(folder, download=True)
            target = DOWNLOAD_FOLDER / RAW_FOLDER
            target.mkdir(parents=True, exist_ok=True)
            for path in (Path(folder) / RAW_FOLDER).iterdir():
                path.replace(target / path.name)
    except (RuntimeError, OSError, HTTPException, ValueError) as error:  # the last two from a broken proxy
        if ours:
            with contextlib.suppress(OSError):  # somebody else has put something there
                DOWNLOAD_FOLDER.rmdir()
        raise MissingError(f"MNIST could not be downloaded: {REMEDY}") from error
    finally:
        socket.setdefaulttimeout(previous)


def _draw_bundled(reason: str, warn: Callable[[str], None]) -> Dataset:
    """Draw digits from the generator inside `mnist_sample`: a stand-in that works without a network."""
    from mnist_sample import Sampler

    if not BUNDLED.is_file():
        raise DataError(f"no digits ({reason}), for this installation has no bundled generator: {REMEDY}")
    warn(
        f"WARNING: THIS MODEL WILL NOT HAVE SEEN MNIST ({reason}).\n"
        "It learns from digits that the bundled generator drew, and its checkpoint says so."
    )
    images, labels = Sampler(provider="cpu").sample(BUNDLED_DIGITS, seed=0)
    return _make_dataset(
        f"bundled generator, {BUNDLED_DIGITS} digits of seed 0",
        np.asarray(images, np.uint8),
        np.asarray(labels, np.int64),
        "bundled",
        "bundled",
    )
