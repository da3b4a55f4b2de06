"""Writes samples as `.npz` and `.npy`, in constant memory."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Any, BinaryIO, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import DTypeLike, NDArray

from mnist_sample import contract
from mnist_sample.job import Job
from mnist_sample.sampler import Samples

_CHUNK: Final = 65_536
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The oldest date of a zip file: the same samples give the same bytes."""


def _header(file: IO[bytes], dtype: DTypeLike, shape: tuple[int, ...]) -> None:
    descr = npy.dtype_to_descr(np.dtype(dtype))
    npy.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})


def _image_shape(n: int) -> tuple[int, int, int]:
    return (n, contract.IMAGE_SIZE, contract.IMAGE_SIZE)


def write_npy(file: BinaryIO, job: Job, batches: Iterable[Samples]) -> None:
    """Write the images as one uint8 array `[n, 28, 28]`."""
    _header(file, np.uint8, _image_shape(job.n))
    for batch in batches:
        file.write(batch.images.data)


def write_npz(file: BinaryIO, job: Job, batches: Iterable[Samples]) -> None:
    """Write `images`, `labels` and what names each sample, uncompressed.

    Entries: `images` uint8 `[n, 28, 28]`, `labels` int64 `[n]`, `indices` uint64 `[n]`; for all samples the
    same: `seed` uint64, `truncation` float64, `classes`, `provider` and `model_sha256` text.
    """
    sampler = job.sampler
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        images = (batch.images for batch in batches)
        _entry(archive, "images", np.uint8, _image_shape(job.n), images)
        # The labels follow from seed and index: drawn anew, they need not be kept until the images are out.
        _entry(archive, "labels", "<i8", (job.n,), (job.labels(at, count) for at, count in _ranges(job)))
        indices = (np.arange(at, at + count, dtype="<u8") for at, count in _ranges(job))
        _entry(archive, "indices", "<u8", (job.n,), indices)
        facts: dict[str, NDArray[Any]] = {
            "seed": np.array(job.seed, "<u8"),
            "truncation": np.array(job.truncation, "<f8"),
            "classes": np.array(sampler.model.classes, "<U"),
            "provider": np.array(sampler.provider, "<U"),
            "model_sha256": np.array(sampler.model.sha256, "<U"),
        }
        for name, value in facts.items():
            _entry(archive, name, value.dtype, value.shape, [value])


def _ranges(job: Job) -> Iterator[tuple[int, int]]:
    stop = job.start + job.n
    return ((at, min(_CHUNK, stop - at)) for at in range(job.start, stop, _CHUNK))


def _entry(
    archive: zipfile.ZipFile,
    name: str,
    dtype: DTypeLike,
    shape: tuple[int, ...],
    parts: Iterable[NDArray[Any]],
) -> None:
    info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    with archive.open(info, "w", force_zip64=True) as entry:
        _header(entry, dtype, shape)
        for part in parts:
            entry.write(np.ascontiguousarray(part, dtype).data if part.ndim else part.tobytes())
