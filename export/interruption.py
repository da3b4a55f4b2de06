"""Ctrl-C, which would break PyTorch's imports, and which its callbacks may swallow; and SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

interruptions: list[int] = []
"""Filled when Ctrl-C is pressed."""


def listen() -> None:
    """Note Ctrl-C, and do nothing else yet: PyTorch's imports may abort the process if interrupted."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the shell wants it ignored
        signal.signal(signal.SIGINT, _note)
        sys.unraisablehook = _report_unraisable


def interrupt_at_once() -> None:
    """From now on let Ctrl-C raise KeyboardInterrupt; and now, where it was pressed before."""
    if signal.getsignal(signal.SIGINT) is _note:
        signal.signal(signal.SIGINT, _interrupt)
    raise_if_interrupted()


def stop_listening() -> None:
    """Let Ctrl-C end the process at once: what Python does at its end may be cut short."""
    if signal.getsignal(signal.SIGINT) in (_note, _interrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def raise_if_interrupted() -> None:
    """Raise KeyboardInterrupt where Ctrl-C was pressed, and came to nothing."""
    if interruptions:
        raise KeyboardInterrupt


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """In the block let SIGTERM come as an exception, so that a temporary file is removed."""
    before = signal.getsignal(signal.SIGTERM)
    if before is signal.SIG_DFL:  # else the shell wants it ignored
        signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _note(number: int, _frame: FrameType | None) -> None:
    interruptions.append(number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    interruptions.append(number)
    signal.default_int_handler(number, frame)


def _report_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
    if not isinstance(unraisable.exc_value, KeyboardInterrupt):  # that one is noted
        sys.__unraisablehook__(unraisable)
