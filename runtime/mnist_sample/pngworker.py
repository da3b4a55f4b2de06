"""What a worker process does: encodes and writes chunks of pictures.

Nothing beyond the standard library is imported, so that workers start fast.
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading

from mnist_sample.png import FAST, encode_png

Chunk = tuple[str, list[str], bytes, int, list[dict[str, str]]]
"""Folder, file names, pixels of all pictures, width in pixels, and text of each."""


def start_worker() -> None:
    """Prepare a worker process: it leaves Ctrl-C to its parent, and ends when that has ended or says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        # Held when it began, but it is how the pool ends the rest when a worker was killed.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # a killed parent cannot tell its workers to end, and they would wait for ever


def write_chunk(chunk: Chunk) -> None:
    """Encode and write pictures.

    Raises:
        OSError: the folder cannot be written, or is full.
    """
    folder, names, pixels, width, texts = chunk
    size = width * width
    for at, (name, text) in enumerate(zip(names, texts, strict=True)):
        content = encode_png(pixels[at * size : (at + 1) * size], width, text, FAST)
        descriptor = os.open(
            f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666
        )
        try:
            if os.write(descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
