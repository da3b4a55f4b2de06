"""Encodes small grey pictures as PNG (https://www.w3.org/TR/png-3/).

Pillow takes 200 us for a 28 x 28 picture, of which the compression is a fifth; a folder of 60,000 feels it.
Only the standard library is imported, so that worker processes start fast.
"""

from __future__ import annotations

import errno
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_GREY_8_BIT: Final = bytes([8, 0, 0, 0, 0])
"""Bit depth, colour type, compression, filter method, interlace."""
_LEVEL: Final = 1
"""On digits, level 1 is 4 % larger than level 6 and takes two thirds of the time."""


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def encode_png(pixels: bytes, width: int, text: Mapping[str, str]) -> bytes:
    """Return a grey PNG file.

    Args:
        pixels: one byte each, row after row from the top, 0 is black.
        width: pixels per row.
        text: keyword to value of its `tEXt` chunks; Latin-1.
    """
    height = len(pixels) // width
    # Filter type 0 (none) in front of each row: the others do not help on strokes this small.
    rows = b"".join(b"\0" + pixels[at : at + width] for at in range(0, len(pixels), width))
    # A window that just covers a 28 x 28 picture needs no large tables to be cleared.
    window = 10 if len(rows) <= 1024 else 15
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, window, 4 if window == 10 else 8)
    parts = [_SIGNATURE, _chunk(b"IHDR", struct.pack(">II", width, height) + _GREY_8_BIT)]
    parts += [_chunk(b"tEXt", f"{key}\0{value}".encode("latin-1", "replace")) for key, value in text.items()]
    parts += [_chunk(b"IDAT", deflate.compress(rows) + deflate.flush()), _chunk(b"IEND", b"")]
    return b"".join(parts)


Chunk = tuple[str, list[str], bytes, int, list[dict[str, str]]]
"""Folder, file names, pixels of all pictures, width in pixels, and text of each."""


def write_chunk(chunk: Chunk) -> None:
    """Encode and write pictures; runs in a worker process."""
    folder, names, pixels, width, texts = chunk
    size = width * width
    for at, (name, text) in enumerate(zip(names, texts, strict=True)):
        content = encode_png(pixels[at * size : (at + 1) * size], width, text)
        descriptor = os.open(
            f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666
        )
        try:
            if os.write(descriptor, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(descriptor)
