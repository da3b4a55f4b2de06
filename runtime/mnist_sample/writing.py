"""Writes a job's samples where they should go: a file, a folder, stdout, or what the shell has opened."""

from __future__ import annotations

import errno
import io
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO, Final, cast

from mnist_sample import contract
from mnist_sample.errors import OutputError, UsageError
from mnist_sample.files import (
    abandon,
    atomic_file,
    check_folder,
    find_descriptor,
    follow_link,
    write_back_early,
)
from mnist_sample.job import Format, Job, Request
from mnist_sample.sampler import Samples, count_cpus

_FOLDERS: Final = ("folder", "idx")
_PICTURE_BYTES: Final = contract.IMAGE_SIZE**2
_BYTES_PER_SAMPLE: Final = {
    "npy": _PICTURE_BYTES,
    "npz": _PICTURE_BYTES + 16,
    "idx": (_PICTURE_BYTES + 1) * 7 // 6,
}
_DISK_BLOCK: Final = 4096
"""A small file takes a whole block on most disks."""
_PIXELS_PER_BYTE: Final = 200
"""Of an enlarged PNG; measured: 54 at scale 10, 152 at 100, 171 at 319."""
_GIF_SCALE: Final = 4


def _count_bytes(form: Format, scale: int) -> int:
    """Return about how much a sample takes on disk; 0 where so few fit that it does not matter."""
    if form == "folder":
        return max(1, _PICTURE_BYTES * scale**2 // _PIXELS_PER_BYTE // _DISK_BLOCK) * _DISK_BLOCK
    return _BYTES_PER_SAMPLE.get(form, 0)


def _check_space(form: Format, n: int, target: Path, scale: int = 1) -> None:
    """Refuse what the disk cannot hold.

    Raises:
        OutputError: the target's folder is missing, or too full.
    """
    folder = target
    # A drive that is missing has no parent but itself.
    while form in _FOLDERS and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    folder = folder if folder.is_dir() else folder.parent
    check_folder(folder, target)
    needed, free = n * _count_bytes(form, scale), shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"{n} digits take {_format_bytes(needed)} as {form}, but {folder} has "
            f"{_format_bytes(free)} free: ask for fewer, or use another disk"
        )


def _format_bytes(count: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB", "EB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} ZB"


def _choose_writer(
    form: Format, job: Job, columns: int | None, scale: int | None
) -> Callable[[BinaryIO, Iterable[Samples]], None]:
    """Return what writes the samples to an open file, with only the imports it needs."""
    if form in ("npz", "npy"):
        from mnist_sample.arrays import write_npy, write_npz

        write = write_npz if form == "npz" else write_npy
        return lambda file, batches: write(file, job, batches)
    if form == "gif":
        from mnist_sample.walk import check_walk, write_walk

        check_walk(job.n, scale or _GIF_SCALE)
        return lambda file, batches: write_walk(file, job, batches, scale or _GIF_SCALE)
    from mnist_sample.sheet import check_sheet, write_sheet

    check_sheet(job.n, columns, scale or 1)
    return lambda file, batches: write_sheet(file, job, batches, columns, scale or 1)


def _write_folder(request: Request, form: Format, job: Job, batches: Iterable[Samples]) -> None:
    target, scale = Path(request.out), request.scale or 1
    if not target.is_dir() and (target.exists() or target.is_symlink()):
        raise OutputError(f"cannot write {target}: it is no folder; remove it, or name another")
    if target.exists() and not os.access(target, os.R_OK):
        raise OutputError(f"cannot write {target}: no permission to look into it; write elsewhere")
    _check_space(form, job.n, target, scale)
    if form == "idx":
        from mnist_sample.idx import write_idx

        write_idx(target, job, batches)
    else:
        from mnist_sample.folder import write_folder
        from mnist_sample.sheet import check_picture

        check_picture(scale)
        write_folder(target, job, batches, scale, request.threads or count_cpus())


def write_output(request: Request, form: Format, job: Job, batches: Iterable[Samples]) -> None:
    """Write the samples where they should go.

    Raises:
        OutputError: that failed; what stood there stands there still.
    """
    target = Path(request.out)
    try:
        if form in _FOLDERS:
            _write_folder(request, form, job, batches)
            return
        write = _choose_writer(form, job, request.columns, request.scale)
        if request.out == "-":
            _write_stdout(write, batches)
        elif (descriptor := find_descriptor(request.out)) is not None:
            with os.fdopen(os.dup(descriptor), "wb") as opened:
                write(cast(BinaryIO, _Unseekable(opened)), batches)
        elif target.exists() and not target.is_file():
            with target.open("wb") as device:  # a pipe or a device: nothing to replace
                write(cast(BinaryIO, _Unseekable(device)), batches)
        else:
            _check_space(form, job.n, follow_link(target))
            with atomic_file(target) as file:
                write(file, write_back_early(file, batches))
    except OSError as error:
        where = "stdout" if request.out == "-" else str(target)
        raise OutputError(f"cannot write {where}: {error.strerror or error}") from None


def _write_stdout(write: Callable[[BinaryIO, Iterable[Samples]], None], batches: Iterable[Samples]) -> None:
    if sys.stdout.isatty():
        raise UsageError("not writing bytes to a terminal: pipe stdout somewhere, or name a file with --out")
    try:
        write(cast(BinaryIO, _Unseekable(sys.stdout.buffer)), batches)
        sys.stdout.buffer.flush()
    except OSError:
        abandon(sys.stdout)
        raise


class _Unseekable(io.RawIOBase):
    """A plain stream of bytes: zipfile would seek in a redirected file, to before our output."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, content: object) -> int:
        whole = rest = memoryview(cast(bytes, content)).cast("B")
        while rest:  # an unbuffered stdout takes less than it is given where the disk is nearly full
            written = self._stream.write(rest)
            if not written:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            rest = rest[written:]
        return len(whole)

    def flush(self) -> None:
        self._stream.flush()

    def __del__(self) -> None:
        """Do not flush once more: from 3.13 on Python prints a traceback where that fails."""
