"""Runs a command line of the other rooms: what a user can cause ends in one or two lines and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from mnist_sample.errors import MnistSampleError
from mnist_sample.files import abandon
from mnist_sample.usage import explain_usage


def run_app(app: typer.Typer, command: str, complain: Callable[[str], None]) -> int:
    """Run `app` with this process's arguments, and return the exit code.

    Args:
        app: the command.
        command: how it is called.
        complain: takes what the user should know of a failure.

    Raises:
        KeyboardInterrupt: Ctrl-C came where the command does not answer it.
    """
    try:
        code: int = app(prog_name=command, standalone_mode=False, help_option_names=["-h", "--help"]) or 0
    except MnistSampleError as error:
        complain(str(error))
        code = error.exit_code
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except OSError as error:  # on stdout; those of the work have been told apart
        abandon(sys.stdout)
        complain(f"cannot write {error.filename or 'stdout'}: {error.strerror or error}")
        code = 1
    except Exception as error:
        if is_out_of_memory(error):
            complain("not enough memory")
            code = 1
        else:
            complain(explain_usage(error, command))
            code = 2
    return code


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether the machine's memory ran out, for which PyTorch has no class of its own on a CPU."""
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)
