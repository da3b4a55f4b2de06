"""`python -m export`: runs the command, and says so in one line where Ctrl-C ends it."""

from __future__ import annotations

import signal
import sys
from types import FrameType

interruptions: list[int] = []
"""Filled when Ctrl-C is pressed: PyTorch's imports may turn KeyboardInterrupt into an error of theirs."""


def main() -> None:
    """Run the command and exit: 0 on success, 1 when the work failed, 2 for wrong usage, 130 after Ctrl-C."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else the shell wants it ignored
        signal.signal(signal.SIGINT, _interrupt)
    try:
        from export.command import run_command  # here, since torch takes seconds to import

        run_command()
    except BaseException:
        if not interruptions:
            raise
        from mnist_sample.process import INTERRUPTED, INTERRUPTED_CODE

        print(f"error: {INTERRUPTED}", file=sys.stderr)
        sys.exit(INTERRUPTED_CODE)
    finally:
        if signal.getsignal(signal.SIGINT) is _interrupt:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # what Python does at its end may be cut short


def _interrupt(number: int, frame: FrameType | None) -> None:
    interruptions.append(number)
    signal.default_int_handler(number, frame)


if __name__ == "__main__":
    main()
