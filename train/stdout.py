"""Tells the user a command's result on stdout, which may be full, or read by nobody any more."""

from __future__ import annotations

import io
import sys

import typer

from mnist_sample.errors import OutputError
from mnist_sample.files import abandon


def tell_result(text: str, otherwise: str) -> None:
    """Print `text` and a line's end.

    Args:
        text: the result.
        otherwise: what the user should know where stdout does not take it.

    Raises:
        OutputError: stdout did not take it.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="surrogateescape")  # a file's name need not be text
        try:
            text.encode(sys.stdout.encoding, "surrogateescape")
        except UnicodeEncodeError:  # and may have letters that the encoding lacks
            sys.stdout.reconfigure(errors="backslashreplace")
    try:
        typer.echo(text)
    except OSError as error:
        abandon(sys.stdout)
        raise OutputError(f"cannot write to stdout: {error.strerror or error}; {otherwise}") from error
