"""The command `mnist-sample`, as `python -m mnist_sample` too."""

from __future__ import annotations

from typing import NoReturn, cast

from mnist_sample import process


def main() -> NoReturn:
    """Run the command line and exit: 0 on success, 1 when the work failed, 2 for wrong usage."""
    process.begin()
    from mnist_sample.cli import run_arguments

    try:
        code = run_arguments()
    except SystemExit as asked:  # by a signal; what there was to remove is removed
        code = cast(int, asked.code)
    process.end(code)


if __name__ == "__main__":
    main()
