"""Carries out one request of the command line: checks it, draws, writes, shows."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final, TextIO, cast

from mnist_sample import contract
from mnist_sample.errors import MnistSampleError, OutputError, UsageError
from mnist_sample.files import abandon, atomic_file, check_folder, follow_link, refuse_input, write_back_early
from mnist_sample.job import Format, Job, Request
from mnist_sample.labels import LabelSource, no_labels, random_labels, repeated_labels
from mnist_sample.process import unwinding
from mnist_sample.randomness import check_range
from mnist_sample.sampler import MAX_TRUNCATION, Sampler, Samples

_BY_SUFFIX: Final[dict[str, Format]] = {".png": "png", ".npz": "npz", ".npy": "npy", ".gif": "gif"}
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
_DEFAULT_N: Final = 5
_STDOUT: Final = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
"""Names of `-`."""
_DESCRIPTOR: Final = re.compile(r"/(?:dev|proc/self)/fd/([0-9]{1,9})")
"""Taken for a file's name, what the shell has opened would be replaced."""
_SHOWN: Final = 64
"""No terminal shows more digits."""


def name_output(wanted: str | None) -> str:
    """Return what is written where `--out` names nothing: `digits.png`, or what `--format` makes."""
    return "digits/" if wanted == "idx" else f"digits.{wanted or 'png'}"


def choose_format(out: str, wanted: str | None) -> Format:
    """Return the format that `--out` and `--format` mean together.

    Raises:
        UsageError: they contradict each other, or neither tells.
    """
    if wanted is not None and wanted not in ("png", "npz", "npy", "idx", "gif"):
        raise UsageError(f"unknown format {wanted!r}: use png, npz, npy, idx or gif")
    if not out:
        raise UsageError("--out is empty: name a file, a folder/ or - for stdout")
    if out == "-":
        if wanted == "idx":
            raise UsageError("an idx folder cannot go to stdout: name a folder with --out")
        return cast(Format, wanted or "png")
    if out.endswith(("/", os.sep)) or _is_folder(Path(out)):
        if wanted not in (None, "png", "idx"):
            raise UsageError(f"{out} is a folder, but --format {wanted} makes one file: name it")
        return "idx" if wanted == "idx" else "folder"
    suffix = Path(out).suffix.lower()
    found = _BY_SUFFIX.get(suffix)
    if wanted is None and found is None:
        raise UsageError(
            f"cannot tell a format from {out!r}: end it in .png, .npz, .npy or .gif, in / for a folder, "
            "or add --format"
        )
    if wanted is not None and found not in (None, wanted):
        raise UsageError(f"--format {wanted} contradicts the suffix of {out}")
    return cast(Format, wanted or found)


def _is_folder(path: Path) -> bool:
    with contextlib.suppress(OSError):  # what is wrong with it is told when it is written
        return path.is_dir()
    return False


def parse_digits(text: str, classes: tuple[str, ...]) -> list[int]:
    """Return the class indices that `--digits` names: one letter each, or names separated by commas.

    Raises:
        UsageError: the model has no classes, or none of that name.
    """
    if not classes:
        raise UsageError("this model is unconditional: it draws whatever comes, so --digits cannot be kept")
    names = text.split(",") if "," in text or max(map(len, classes)) > 1 else list(text)
    if not text or not all(names):
        raise UsageError("--digits needs at least one digit, such as --digits 2026")
    unknown = [name for name in names if name not in classes]
    if unknown:
        known = "".join(classes) if max(map(len, classes)) == 1 else ", ".join(classes)
        raise UsageError(f"--digits: this model cannot draw {unknown[0]!r}, only {known}")
    return [classes.index(name) for name in names]


def check_request(request: Request) -> Format:
    """Check all that can be checked before a model is read, and return the output format.

    Raises:
        UsageError: an option is out of range, or options contradict each other.
    """
    if request.n is not None and request.n < 1:
        raise UsageError(f"--n {request.n} makes no digits: use 1 or more")
    check_range(request.seed, request.start, request.n or 1)
    for option, value in (("columns", request.columns), ("scale", request.scale)):
        if value is not None and not 1 <= value <= 1000:
            raise UsageError(f"--{option} {value} is out of range: use 1 to 1000")
    if not 0 <= request.truncation <= MAX_TRUNCATION:
        raise UsageError(f"--truncation {request.truncation} is out of range: use 0 to {MAX_TRUNCATION:g}")
    form = choose_format(request.out, request.format)
    if request.columns is not None and form != "png":
        raise UsageError("--columns is for a sheet, --out FILE.png")
    if request.scale is not None and form not in ("png", "folder", "gif"):
        raise UsageError(f"--scale is for pictures: {form} always holds 28 x 28 pixels")
    return form


def plan_job(request: Request, sampler: Sampler) -> Job:
    """Decide how many samples of which classes to draw.

    Raises:
        UsageError: `--digits` does not fit the model.
    """
    classes = sampler.model.classes
    labels: LabelSource = random_labels(request.seed, len(classes)) if classes else no_labels()
    pattern: list[int] = []
    if request.digits is not None:
        pattern = parse_digits(request.digits, classes)
        labels = repeated_labels(pattern)
    n = request.n or len(pattern) or _DEFAULT_N
    return Job(sampler, n, request.seed, request.start, request.truncation, labels)


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


def _choose_source(form: Format, job: Job) -> tuple[Generator[Samples], int]:
    """Return the batches that the format takes, not yet drawn, and how many pictures they hold."""
    if form == "gif":
        from mnist_sample.walk import FRAMES_PER_STEP, draw_walk

        return draw_walk(job), job.n * FRAMES_PER_STEP
    if form == "idx":
        from mnist_sample.idx import check_idx, count_test, draw_splits

        check_idx(job)
        return draw_splits(job), job.n + count_test(job.n)
    return job.draw(), job.n


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


def _write_folder(form: Format, target: Path, job: Job, batches: Iterable[Samples], scale: int) -> None:
    if form == "idx":
        from mnist_sample.idx import write_idx

        write_idx(target, job, batches)
    else:
        from mnist_sample.folder import write_folder
        from mnist_sample.sheet import check_picture

        check_picture(scale)
        write_folder(target, job, batches, scale)


def _write(request: Request, form: Format, job: Job, batches: Iterable[Samples]) -> None:
    """Write the samples where they should go.

    Raises:
        OutputError: that failed; what stood there stands there still.
    """
    target = Path(request.out)
    try:
        if form in _FOLDERS:
            if target.exists() and not target.is_dir():
                raise OutputError(f"cannot write {target}: it is no folder; remove it, or name another")
            _check_space(form, job.n, target, request.scale or 1)
            _write_folder(form, target, job, batches, request.scale or 1)
            return
        write = _choose_writer(form, job, request.columns, request.scale)
        if request.out == "-":
            _write_stdout(write, batches)
        elif descriptor := _DESCRIPTOR.fullmatch(request.out):
            with os.fdopen(os.dup(int(descriptor[1])), "wb") as opened:
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


@contextlib.contextmanager
def _explain_shortage() -> Iterator[None]:
    """Turn what Python says where the machine has no more of something into an error for the user."""
    try:
        yield
    except MemoryError:
        raise MnistSampleError("not enough memory: ask for fewer digits, or a smaller --batch-size") from None
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        raise MnistSampleError("the system starts no more threads: use fewer --threads") from None


def _show(job: Job, stream: TextIO) -> None:
    """Draw the first digits in the terminal."""
    import numpy as np

    from mnist_sample.terminal import detect_depth, draw_terminal

    # Drawn anew: the same digits, and no format has to hand some on.
    images = np.concatenate([batch.images for batch in job.draw(n=min(job.n, _SHOWN))])
    depth = detect_depth(os.environ, getattr(stream, "encoding", None) or "ascii")
    width = shutil.get_terminal_size().columns
    stream.write(draw_terminal(images, job.n, width, depth) + "\n")
    stream.flush()


def _summarise(request: Request, job: Job) -> str:
    sampler = job.sampler
    where = sampler.provider.upper()
    if sampler.provider_note:
        where += f" ({sampler.provider_note})"
    last = f" to {job.start + job.n - 1}" if job.n > 1 else ""
    target = "stdout" if request.out == "-" else request.out
    return f"{target}: seed {job.seed}, sample {job.start}{last}, drawn on {where}"


def _draw_and_write(request: Request, form: Format, job: Job) -> None:
    source, pictures = _choose_source(form, job)
    with contextlib.closing(source) as drawn:  # ends the threads at once when writing fails
        batches: Iterable[Samples] = drawn
        if not request.quiet and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            from mnist_sample.progress import track

            batches = track(drawn, pictures, sys.stderr)
        _write(request, form, job, batches)


def run(request: Request) -> None:
    """Carry out a request.

    Raises:
        MnistSampleError: it failed, or it makes no sense; nothing half-written is left.
    """
    if request.out in _STDOUT:
        request = replace(request, out="-")
    form = check_request(request)
    with _explain_shortage():
        sampler = Sampler(request.model, request.provider, request.threads, request.batch_size)
        refuse_input(Path(request.out), [sampler.model.path])
        job = plan_job(request, sampler)
        check_range(job.seed, job.start, job.n)
        show = request.show
        if show is None:
            show = form == "png" and not request.quiet and sys.stdout.isatty()
        with unwinding():
            _draw_and_write(request, form, job)
        if show:
            _show(job, sys.stderr if request.out == "-" else sys.stdout)
    if not request.quiet:
        with contextlib.suppress(OSError):  # the digits are written, whoever may be told
            print(_summarise(request, job), file=sys.stderr)
