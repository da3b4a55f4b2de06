"""The command `mnist-sample`, as `python -m mnist_sample` too."""

from __future__ import annotations

from typing import NoReturn

from mnist_sample import process


def main() -> NoReturn:
    """Run the command line and exit: 0 on success, 1 when the work failed, 2 for wrong usage."""
    process.begin()
    try:
        from mnist_sample.cli import run_arguments
    except KeyboardInterrupt:
        process.end(process.complain(process.INTERRUPTED, process.INTERRUPTED_CODE))
    process.end(run_arguments())


if __name__ == "__main__":
    main()
