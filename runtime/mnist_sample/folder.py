"""Writes samples as a folder of PNGs, many of them in several processes."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from mnist_sample import contract
from mnist_sample.errors import OutputError
from mnist_sample.files import current_umask, hidden_prefix, new_folder, refuse_input
from mnist_sample.job import Job
from mnist_sample.pngworker import Chunk, write_chunk
from mnist_sample.process import signals_held
from mnist_sample.sampler import Samples, split
from mnist_sample.sheet import enlarge

_PROCESSES_FROM: Final = 4000
"""Fewer pictures are written before worker processes have started."""
_PICTURES_PER_PROCESS: Final = 250
"""Fewer take less time than a process takes to start."""
_CHUNK_PICTURES: Final = 64
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


def write_folder(target: Path, job: Job, batches: Iterable[Samples], scale: int, processes: int) -> None:
    """Write one PNG for each sample into `target`.

    They are written to a temporary folder beside it, which is renamed when all is there. A folder that exists
    may be a mount point, so there the temporary folder is made inside, and the files are moved out of it one
    by one, over files of the same name only.

    Args:
        target: the folder, which may exist.
        job: what the samples are.
        batches: the samples.
        scale: pixels per pixel of the 28 x 28.
        processes: how many may encode and write.

    Raises:
        OSError: the folder cannot be written.
        UsageError: the model's file is in the way.
    """
    exists = target.exists()
    place = target if exists else target.parent
    with new_folder(place):
        staging: Path | None = None
        try:
            with signals_held():  # until its name is known, nobody could remove it
                staging = Path(tempfile.mkdtemp(prefix=hidden_prefix(target.name), suffix=".tmp", dir=place))
            _write_chunks(_chunks(staging, job, batches, scale), job.n, processes)
            if exists or not _rename_folder(staging, target):
                _move_files(staging, target, job.sampler.model.path)
        finally:
            if staging is not None:
                shutil.rmtree(staging, ignore_errors=True)


def _move_files(staging: Path, target: Path, model: Path) -> None:
    """Move all files into an existing folder, or none where a folder or the model is in the way of one."""
    with os.scandir(target) as entries:  # unlike a list, no longer for a million files
        for entry in entries:
            if entry.is_dir() and (staging / entry.name).exists():
                raise OutputError(f"cannot write {entry.path}: it is a folder; remove it, or write elsewhere")
    if (staging / model.name).exists():
        refuse_input(target / model.name, [model])
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
    for batch in split(batches, min(_CHUNK_PICTURES, together)):
        labels = batch.labels.tolist()
        indices = range(index, index + len(labels))
        names = [name_file(job, i, label) for i, label in zip(indices, labels, strict=True)]
        texts = [
            {**facts, "index": str(i), "digit": job.name_class(label)}
            for i, label in zip(indices, labels, strict=True)
        ]
        yield str(folder), names, enlarge(batch.images, scale).tobytes(), contract.IMAGE_SIZE * scale, texts
        index += len(labels)


def _write_chunks(chunks: Iterable[Chunk], n: int, processes: int) -> None:
    """Encode and write, in several processes where there is enough to do."""
    if n >= _PROCESSES_FROM and processes > 1:
        from mnist_sample.pngworkers import Workers  # few pictures do without, and this import

        workers = Workers(min(processes, max(2, n // _PICTURES_PER_PROCESS)))
        if workers:
            workers.write(chunks)
            return
    for chunk in chunks:
        write_chunk(chunk)
