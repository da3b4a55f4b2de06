"""Text of files that are not to be trusted."""

from __future__ import annotations


def make_printable(text: str) -> str:
    """Return `text` without letters that could steer a terminal, each replaced by a question mark."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
