"""`python -m export`: runs the command, and says so in one line where Ctrl-C ends it."""

from __future__ import annotations

import sys

from export.interruption import interrupt_at_once, interruptions, listen, stop_listening


def main() -> None:
    """Run the command and exit: 0 on success, 1 when the work failed, 2 for wrong usage, 130 after Ctrl-C."""
    listen()
    try:
        from export.command import run_command  # here, since torch takes seconds to import

        interrupt_at_once()
        run_command()
    except BaseException as error:
        if not interruptions:
            _explain_missing(error)
            raise
        from mnist_sample.process import INTERRUPTED, INTERRUPTED_CODE

        print(f"error: {INTERRUPTED}", file=sys.stderr)
        sys.exit(INTERRUPTED_CODE)
    finally:
        stop_listening()


def _explain_missing(error: BaseException) -> None:
    """Exit in one line where a package of another project is missing."""
    name = ((error.name or "") if isinstance(error, ModuleNotFoundError) else "").partition(".")[0]
    if name and name not in ("export", "models"):
        if sys.stderr is not None:  # print() would take stdout for it
            print(f'error: the package {name} is missing: pip install -e ".[train]"', file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
