"""Text of files that are not to be trusted, or that stdout may not hold."""

from __future__ import annotations

import io
from typing import TextIO


def make_printable(text: str) -> str:
    """Return `text` without letters that could steer a terminal, each replaced by a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def first_line(error: Exception, letters: int = 200) -> str:
    """Return the first line of a library's message, cut to a length that people read.

    It may quote a file, so nothing in it can steer a terminal.
    """
    text = str(error).strip() or type(error).__name__
    return make_printable(text.splitlines()[0][:letters])


def escape_unencodable(stream: TextIO) -> None:
    """Let `stream` write letters that its encoding lacks as escapes: a path or a class may hold any."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
