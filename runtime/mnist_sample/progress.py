"""Shows on a terminal how far the work is, with its speed and the time left."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator
from typing import Final, TextIO

from mnist_sample.sampler import Samples

_QUIET_SECONDS: Final = 1.0
"""Shorter work shows nothing."""
_REDRAW_SECONDS: Final = 0.1
_CLEAR_LINE: Final = "\r\x1b[K"
_USUAL_COLUMNS: Final = 80


def track(batches: Iterable[Samples], n: int, stream: TextIO) -> Iterator[Samples]:
    """Yield the batches unchanged, and keep a line on `stream`, a terminal, up to date."""
    begun = time.monotonic()
    due = begun + _QUIET_SECONDS
    done, drawn = 0, False
    try:
        for batch in batches:
            yield batch
            done += len(batch.images)
            now = time.monotonic()
            if now >= due:
                drawn = _redraw(stream, describe_progress(done, n, now - begun))
                due = now + _REDRAW_SECONDS if drawn else math.inf
    finally:
        if drawn:
            _redraw(stream, "")


def _redraw(stream: TextIO, line: str) -> bool:
    """Put `line` in place of the last one; return False where nobody sees it any more.

    A terminal may be closed in mid-run, and the work should come to its end all the same.
    """
    try:
        stream.write(_CLEAR_LINE + line[: _count_columns(stream) - 1])  # a wrapped line would stay behind
        stream.flush()
    except OSError:
        return False
    return True


def _count_columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _USUAL_COLUMNS
    except OSError:
        return _USUAL_COLUMNS


def describe_progress(done: int, n: int, seconds: float) -> str:
    """Return the line: share, counts, images per second and time left.

    >>> describe_progress(50_000, 200_000, 2.0)
    ' 25% 50,000 of 200,000, 25,000 images/s, 0:06 left'
    """
    rate = done / seconds
    left = round((n - done) / rate)
    hours, minutes = left // 3600, left // 60 % 60
    clock = f"{hours}:{minutes:02d}:{left % 60:02d}" if hours else f"{minutes}:{left % 60:02d}"
    return f"{done * 100 // n:3d}% {done:,} of {n:,}, {rate:,.0f} images/s, {clock} left"
