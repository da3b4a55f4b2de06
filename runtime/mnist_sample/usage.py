"""What is wrong with a command line, in one line instead of typer's box."""

from __future__ import annotations


def explain_usage(error: Exception, command: str) -> str:
    """Return what typer found wrong with the arguments of `command`, and where to read on.

    Raises:
        Exception: `error` itself, where it is of another kind.
    """
    # Newer versions of typer carry their own click, so its errors have no one name.
    if not hasattr(error, "format_message"):
        raise error
    return f"{error.format_message().rstrip('.')}; see {command} --help"
