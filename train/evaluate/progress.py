"""A progress bar on a terminal, nothing when piped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import Progress


@contextlib.contextmanager
def show_progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """Show work under `name` on stderr while the block runs.

    Yields:
        A function to call with (steps done, steps in all).
    """
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
