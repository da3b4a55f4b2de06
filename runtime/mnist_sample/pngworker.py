"""What a worker process does: encodes and writes chunks of pictures.

Nothing beyond the standard library is imported, so that workers start fast.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import sys
from typing import BinaryIO, Final

from mnist_sample.png import FAST, encode_png

Chunk = tuple[str, list[str], bytes, int, list[dict[str, str]]]
"""Folder, file names, pixels of all pictures, width in pixels, and text of each."""
GREETING: Final = b"\0mnist_sample.pngworker\0"
"""What it says first; before that, something that Python imports at its start may have printed."""
ANSWER_BYTES: Final = 4
"""Of the error number that answers a chunk, little-endian; 0 where all of it was written."""


def serve() -> None:
    """Write the chunks that are pickled on stdin, and answer each on stdout, until stdin ends.

    So it ends with its parent, however that ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the parent; masked already, but on Windows
    with os.fdopen(os.dup(1), "wb", buffering=0) as answers:
        os.dup2(2, 1)  # whatever else is printed is no answer
        answers.write(GREETING)
        _serve(answers)


def _serve(answers: BinaryIO) -> None:
    while True:
        try:
            chunk = pickle.load(sys.stdin.buffer)
        except (EOFError, pickle.UnpicklingError):  # the parent is gone, perhaps in mid-chunk
            return
        status = 0
        try:
            write_chunk(chunk)
        except OSError as error:
            status = error.errno or errno.EIO
        answers.write(status.to_bytes(ANSWER_BYTES, "little"))


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
