"""Reads IDX files, plain or gzipped, that may come from a stranger: nothing is unpacked unchecked."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from mnist_sample.contract import IMAGE_SIZE
from mnist_sample.errors import MnistSampleError

IMAGES_MAGIC: Final = 0x00000803
LABELS_MAGIC: Final = 0x00000801
MAX_DIGITS: Final = 1_000_000
"""More than EMNIST's largest split; 784 MB of pixels."""
READ_BYTES: Final = 2**20
GZIP_MAGIC: Final = b"\x1f\x8b"


class DataError(MnistSampleError):
    """Training data are missing, damaged, or of a kind that cannot be trained on."""


def find_idx(folder: Path, name: str) -> Path | None:
    """Return `folder/name` or `folder/name.gz`, the plain file first, or None.

    Raises:
        DataError: what has that name is no file: a folder, a pipe, or a link to nothing.
        OSError: the folder cannot be searched.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
        if os.path.lexists(path):
            # Labels that are there but broken must not pass for no labels.
            raise DataError(f"{path} is no file, or a link that leads nowhere: put the IDX file there")
    return None


def read_images(path: Path) -> npt.NDArray[np.uint8]:
    """Read an images file: uint8 `[n, 28, 28]`, ink 255 on paper 0.

    Raises:
        DataError: the file is unreadable, damaged, empty, too large, or its images are not 28 x 28.
    """
    with _open(path) as file:
        magic, count, rows, columns = _read_header(file, path, 4)
        _check_magic(path, magic, IMAGES_MAGIC, "images")
        _check_count(path, count)
        if (rows, columns) != (IMAGE_SIZE, IMAGE_SIZE):
            raise DataError(
                f"{path} holds images of {rows} x {columns} pixels; only {IMAGE_SIZE} x {IMAGE_SIZE} can be "
                "trained on: resize them first"
            )
        return _read_body(file, path, count * rows * columns).reshape(count, rows, columns)


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read a labels file: uint8 `[n]`.

    Raises:
        DataError: the file is unreadable, damaged, empty or too large.
    """
    with _open(path) as file:
        magic, count = _read_header(file, path, 2)
        _check_magic(path, magic, LABELS_MAGIC, "labels")
        _check_count(path, count)
        return _read_body(file, path, count)


def _open(path: Path) -> io.BufferedIOBase:
    """Open a plain or gzipped file by what it holds, not by its name."""
    try:
        with path.open("rb") as file:
            start = file.read(len(GZIP_MAGIC))
        return gzip.open(path, "rb") if start == GZIP_MAGIC else path.open("rb")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def _read_bounded(file: io.BufferedIOBase, path: Path, size: int) -> bytes:
    """Read at most `size` bytes: a gzip bomb is never unpacked beyond what its header announces."""
    try:
        return file.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is damaged ({error}): copy or download it again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _read_header(file: io.BufferedIOBase, path: Path, words: int) -> tuple[int, ...]:
    header = _read_bounded(file, path, 4 * words)
    if len(header) < 4 * words:
        raise DataError(f"{path} ends within its header: copy or download it again")
    return struct.unpack(f">{words}I", header)


def _check_magic(path: Path, magic: int, expected: int, kind: str) -> None:
    if magic != expected:
        raise DataError(
            f"{path} is no IDX file of {kind}: it begins with {magic:#010x}, not {expected:#010x}"
        )


def _check_count(path: Path, count: int) -> None:
    if not count:
        raise DataError(f"{path} holds nothing: put digits into it, or name another folder")
    if count > MAX_DIGITS:
        raise DataError(f"{path} announces {count} items, and up to {MAX_DIGITS} are read: leave some out")


def _read_body(file: io.BufferedIOBase, path: Path, size: int) -> npt.NDArray[np.uint8]:
    body = bytearray()
    while piece := _read_bounded(file, path, min(READ_BYTES, size + 1 - len(body))):
        body += piece
    if len(body) < size:
        raise DataError(f"{path} is truncated: {len(body)} of {size} bytes: copy or download it again")
    if len(body) > size:
        raise DataError(f"{path} goes on after the {size} bytes that its header announces: it is damaged")
    return np.frombuffer(body, np.uint8)  # of a bytearray, and so writable, as torch wants it
