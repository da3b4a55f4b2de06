"""Keeps two runs from writing into one folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mnist_sample.errors import UsageError


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Make the folder if need be, and keep other runs out of it until the block or this process ends.

    Raises:
        UsageError: another process trains there.
        OSError: the folder cannot be made or opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        _lock(handle, folder)
        yield
    finally:
        os.close(handle)


if sys.platform != "win32":
    import fcntl

    def _lock(handle: int, folder: Path) -> None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another process is training in {folder}: wait for its end, or choose another --out"
            ) from error
        except OSError:
            pass  # some network file systems have no locks
