"""How the command's process begins and ends: with little waiting, and with a word about what went wrong."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, NoReturn

from mnist_sample.text import make_printable

INTERRUPTED: Final = "interrupted; nothing half-written is left"
INTERRUPTED_CODE: Final = 130
"""What shells give for a process that Ctrl-C ended."""
_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU")
_ENDING: Final = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
"""Signals that ask a process to end; Windows has but two of them."""
_PATIENCE_SECONDS: Final = 5.0
"""How long signals after the first do not disturb the removal of temporary files."""


def begin() -> None:
    """Prepare the process for a command that may take less time than it takes to get ready for it."""
    # What is imported is no garbage: looking for some takes 9 of a short run's 180 ms.
    gc.disable()
    # numpy's linear algebra is not used, and starting its threads takes a fifth of a short run's CPU time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _replace_closed_streams()
    for number in _ENDING:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):  # nohup ignores SIGHUP
            signal.signal(number, _leave_at_once)


def _leave_at_once(number: int, _: object) -> None:
    # Not as an exception: imports that it interrupts may make another of it, as onnxruntime's do.
    if number == signal.SIGINT:
        with contextlib.suppress(OSError):
            os.write(2, f"mnist-sample: {INTERRUPTED}\n".encode())
    os._exit(128 + number)


def _exchange(old: Callable[[int, object], None], new: Callable[[int, object], None]) -> None:
    """Let `new` hear the signals that `old` does: none where the command has no process of its own."""
    for number in _ENDING:
        if signal.getsignal(number) is old:
            signal.signal(number, new)


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """In the block let a signal come as an exception, so that temporary files are removed."""
    _exchange(_leave_at_once, _unwind)
    try:
        yield
    finally:
        _exchange(_unwind, _leave_at_once)


def _unwind(number: int, _: object) -> None:
    begun = time.monotonic()

    def be_patient(number: int, _: object) -> None:
        # A second signal would interrupt the removal; but that may be stuck, on a pipe that nobody reads.
        if time.monotonic() - begun >= _PATIENCE_SECONDS:
            os._exit(128 + number)

    _exchange(_unwind, be_patient)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Let signals wait until the block ends; processes that begin in it get none that they do not ask for.

    The mask is for those processes. It does not keep signals from this one: another thread takes them, and
    Python runs their handlers in this thread all the same.
    """
    waiting: list[int] = []

    def note(number: int, _: object) -> None:
        waiting.append(number)

    masks = hasattr(signal, "pthread_sigmask")  # Windows has none
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING) if masks else set()
    _exchange(_unwind, note)
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        _exchange(note, _unwind)
        if waiting:
            signal.raise_signal(waiting[0])


def _replace_closed_streams() -> None:
    """Occupy the standard streams that the process was started without: else files would get their numbers.

    The stdout put there refuses to be written, so that work meant for it fails.
    """
    for name, descriptor, flags in (
        ("stdin", 0, os.O_RDONLY),
        ("stdout", 1, os.O_RDONLY),
        ("stderr", 2, os.O_WRONLY),
    ):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, flags), descriptor)
            setattr(sys, name, os.fdopen(descriptor, "r" if name == "stdin" else "w", closefd=False))


def collect_garbage_again() -> None:
    """Undo what `begin` did for the imports, once they are done."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()


def complain(message: str, exit_code: int) -> int:
    """Print a message on stderr and return the exit code that goes with it."""
    with contextlib.suppress(OSError):  # the exit code tells it too
        print(f"mnist-sample: {make_printable(message)}", file=sys.stderr)  # it may name a stranger's file
    return exit_code


def end(exit_code: int) -> NoReturn:
    """Leave at once: files are closed, and taking Python apart takes 14 of a short run's 180 ms."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            exit_code = exit_code or complain(f"cannot write {stream.name}: {error.strerror or error}", 1)
    os._exit(exit_code)
