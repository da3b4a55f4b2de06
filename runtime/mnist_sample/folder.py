"""Writes samples as a folder of PNGs, encoded on all cores."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mnist_sample import contract
from mnist_sample.errors import OutputError
from mnist_sample.files import current_umask, hidden_prefix, new_folder
from mnist_sample.job import Job
from mnist_sample.pngworker import Chunk, start_worker, write_chunk
from mnist_sample.process import signals_held
from mnist_sample.sampler import Samples, count_cpus, split
from mnist_sample.sheet import enlarge

if TYPE_CHECKING:  # few pictures do without, and this import
    from concurrent.futures import Future, ProcessPoolExecutor

_PROCESSES_FROM: Final = 4000
"""Fewer pictures are written before worker processes have started."""
_MAX_PROCESSES: Final = 61
"""Windows waits for no more."""
_CHUNKS_AHEAD: Final = 4
_CHUNK_PIXELS: Final = 2**22
"""Held in each chunk at most, but for one picture that is larger."""


def name_file(job: Job, index: int, label: int) -> str:
    """Return a picture's file name: seed, index and class; below 10**8 names sort by index."""
    name = job.name_class(label)
    safe = "".join(letter if _is_safe(letter) else "_" for letter in name)
    return f"seed{job.seed}_index{index:08d}" + (f"_digit{safe}" if safe else "") + ".png"


def _is_safe(letter: str) -> bool:
    """Tell whether a letter may stand in a file's name, which some locales cannot hold beyond ASCII."""
    try:
        os.fsencode(letter)
    except UnicodeEncodeError:
        return False
    return letter.isalnum() or letter in "-."


def write_folder(target: Path, job: Job, batches: Iterable[Samples], scale: int) -> None:
    """Write one PNG for each sample into `target`.

    They are written to a temporary folder beside it, which is renamed when all is there. A folder that exists
    may be a mount point, so there the temporary folder is made inside, and the files are moved out of it one
    by one, over files of the same name only.

    Raises:
        OSError: the folder cannot be written.
    """
    exists = target.exists()
    place = target if exists else target.parent
    with new_folder(place):
        staging: Path | None = None
        try:
            with signals_held():  # until its name is known, nobody could remove it
                staging = Path(tempfile.mkdtemp(prefix=hidden_prefix(target.name), suffix=".tmp", dir=place))
            _write_chunks(_chunks(staging, job, batches, scale), job.n)
            if exists or not _rename_folder(staging, target):
                _move_files(staging, target)
        finally:
            if staging is not None:
                shutil.rmtree(staging, ignore_errors=True)


def _move_files(staging: Path, target: Path) -> None:
    """Move all files into an existing folder, or none where a folder is in the way of one."""
    with os.scandir(target) as entries:  # unlike a list, no longer for a million files
        for entry in entries:
            if entry.is_dir() and (staging / entry.name).exists():
                raise OutputError(f"cannot write {entry.path}: it is a folder; remove it, or write elsewhere")
    with signals_held(), os.scandir(staging) as entries:
        for entry in entries:
            Path(entry.path).replace(target / entry.name)


def _rename_folder(staging: Path, target: Path) -> bool:
    """Make `staging` the new folder `target`; return False if another shard was first."""
    staging.chmod(0o777 & ~current_umask())  # mkdtemp makes private folders
    try:
        staging.rename(target)
    except OSError:
        if not target.is_dir():
            raise
        return False
    return True


def _chunks(folder: Path, job: Job, batches: Iterable[Samples], scale: int) -> Iterator[Chunk]:
    facts, index = job.facts(), job.start
    together = max(1, _CHUNK_PIXELS // (contract.IMAGE_SIZE * scale) ** 2)
    for batch in split(batches, min(job.sampler.batch_size, together)):
        labels = batch.labels.tolist()
        indices = range(index, index + len(labels))
        names = [name_file(job, i, label) for i, label in zip(indices, labels, strict=True)]
        texts = [
            {**facts, "index": str(i), "digit": job.name_class(label)}
            for i, label in zip(indices, labels, strict=True)
        ]
        yield str(folder), names, enlarge(batch.images, scale).tobytes(), contract.IMAGE_SIZE * scale, texts
        index += len(labels)


def _write_chunks(chunks: Iterable[Chunk], n: int) -> None:
    """Encode and write, on all cores where there is enough to do."""
    with contextlib.ExitStack() as stack:
        pool = _start_workers(stack) if n >= _PROCESSES_FROM and count_cpus() > 1 else None
        if pool is not None:
            _hand_out(chunks, pool)
            return
        for chunk in chunks:
            write_chunk(chunk)


def _start_workers(stack: contextlib.ExitStack) -> ProcessPoolExecutor | None:
    """Return worker processes that end with the stack; None where the system has none for us."""
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import resource_tracker

    stack.enter_context(_safe_path())
    try:
        if os.name == "posix":
            # The process that looks after the locks: starting it lets signals in again.
            with signals_held():
                resource_tracker.ensure_running()
        with signals_held():
            pool = ProcessPoolExecutor(
                min(count_cpus(), _MAX_PROCESSES),
                # Not fork: onnxruntime's threads and locks would be copied in mid-step.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=start_worker,
            )
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            pool.submit(os.getpid)  # starts the first process
    except OSError:
        return None
    return pool


@contextlib.contextmanager
def _safe_path() -> Iterator[None]:
    """Keep processes that start in the block from importing what lies in the current folder.

    There a `socket.py` would be taken for Python's own.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before


def _hand_out(chunks: Iterable[Chunk], pool: ProcessPoolExecutor) -> None:
    """Let worker processes write the chunks, a bounded number ahead."""
    from concurrent.futures.process import BrokenProcessPool

    ahead: deque[Future[None]] = deque()
    try:
        for chunk in chunks:
            with signals_held():  # the first few start threads and processes
                ahead.append(pool.submit(write_chunk, chunk))
            chunks_ahead = _CHUNKS_AHEAD if len(chunk[2]) <= _CHUNK_PIXELS else 1
            if len(ahead) >= count_cpus() * chunks_ahead:
                ahead.popleft().result()
        for future in ahead:
            future.result()
    except BrokenProcessPool:
        raise OutputError("a process that writes pictures was killed: is there enough memory?") from None
