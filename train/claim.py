"""Keeps two runs from writing into one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mnist_sample.errors import UsageError
from mnist_sample.files import locked


@contextmanager
def claim(folder: Path) -> Iterator[None]:
    """Make the folder if need be, and keep other runs out of it until the block or this process ends.

    Raises:
        UsageError: another process trains there.
        OSError: the folder cannot be made or opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(folder, wait=False))
        except BlockingIOError as error:
            raise UsageError(
                f"another process is training in {folder}: wait for its end, or train in another folder"
            ) from error
        yield
