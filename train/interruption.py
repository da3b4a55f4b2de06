"""Ctrl-C and SIGTERM: once a step, or an import, has come to its end; elsewhere at once."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType

from mnist_sample.errors import MnistSampleError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


class StoppedError(MnistSampleError):
    """Ctrl-C or SIGTERM ended the work early.

    Attributes:
        exit_code: what shells give for a process that the signal ended: 130 or 143.
    """

    def __init__(self, message: str, cause: KeyboardInterrupt | None) -> None:
        super().__init__(message)
        self.exit_code = 128 + (signal.SIGTERM if isinstance(cause, Terminated) else signal.SIGINT)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    raise Terminated


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt too, so that files are closed and the user is told how to go on."""
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def stoppable(stopped: str) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the block, and say `stopped` of it.

    Raises:
        StoppedError: a signal came.
    """
    try:
        with sigterm_as_ctrl_c():
            yield
    except KeyboardInterrupt as error:
        raise StoppedError(stopped, error) from error


@contextlib.contextmanager
def hold_ctrl_c() -> Iterator[None]:
    """Put off KeyboardInterrupt to the block's end: numpy reports a broken import, were it interrupted.

    Raises:
        KeyboardInterrupt: a signal came.
    """
    with Interruption() as interruption:
        yield
    if interruption.cause is not None:
        raise interruption.cause


class Interruption:
    """While entered, the first signal is noted; a second one has its effect of before.

    Attributes:
        cause: what the first signal would have raised; None while none has come.
    """

    def __init__(self) -> None:
        self.cause: KeyboardInterrupt | None = None
        self._previous: dict[signal.Signals, signal._HANDLER] = {}

    def __enter__(self) -> Interruption:
        for number in SIGNALS:
            self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.cause = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
