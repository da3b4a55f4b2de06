"""What a person sees of a run: a progress bar on a terminal, a line now and then where there is none."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from mnist_sample.files import abandon

LINE_EVERY_SECONDS: Final = 20.0
BAR_WIDTH: Final = 10


class _Console(Console):
    """A console that does without its reader."""

    def on_broken_pipe(self) -> None:
        """Fall silent, with all of stderr: `rich` would end the program, and lose what is not saved."""
        self.quiet = True
        abandon(sys.stderr)

    def _check_buffer(self) -> None:
        """Write what is to be shown; a full disk behind stderr is no reason to stop either."""
        try:
            super()._check_buffer()
        except OSError:
            self.on_broken_pipe()


class Display:
    """Shows progress and speaks to the user on stderr; silent where `visible` is false, or nobody reads."""

    def __init__(self, visible: bool) -> None:
        self._console = _Console(stderr=True, quiet=not visible, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._last_line = -LINE_EVERY_SECONDS
        self._figure = ""

    def __enter__(self) -> Display:
        if self._console.is_terminal and not self._console.quiet:
            self._bar = Progress(
                # Where the terminal is narrow, the end of this is cut.
                TextColumn(
                    "{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
                ),
                BarColumn(bar_width=BAR_WIDTH),
                TextColumn("{task.percentage:>3.0f} %"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=self._console,
                expand=True,
            )
            self._task = self._bar.add_task("starting", total=1.0)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, message: str, style: str | None = None) -> None:
        """Print a message above the bar."""
        self._console.print(message, style=style, markup=False)

    def warn(self, message: str) -> None:
        """Print a warning that cannot be overlooked."""
        self.say(message, style="bold red")

    def show(self, line: dict[str, Any], fraction: float) -> None:
        """Show a line of `metrics.jsonl` with the newest figure of quality; the last line always."""
        if "frechet" in line:
            self._figure = f"Frechet {line['frechet']:.2f} (real {line['frechet_real']:.2f})  "
        text = (
            f"step {line['step']}  {self._figure}D {line['d_loss']:.3f}  G {line['g_loss']:.3f}  "
            f"{line['images_per_second']:.0f} images/s"
        )
        if self._bar is not None:
            self._bar.update(self._task, completed=fraction, description=text)
        elif fraction >= 1 or time.monotonic() - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            seconds_left = line["seconds"] * (1 / fraction - 1)
            self.say(f"{fraction:4.0%}  {text}  {seconds_left:.0f} s left")
