"""Runs a command line of this room: what a user can cause ends in one or two lines and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from mnist_sample.errors import MnistSampleError
from mnist_sample.files import abandon, write_stderr
from mnist_sample.process import INTERRUPTED_CODE
from mnist_sample.text import make_printable
from mnist_sample.usage import explain_usage


def run_app(app: typer.Typer, command: str, stopped: str) -> NoReturn:
    """Run `app` with this process's arguments, and exit.

    Args:
        app: the command.
        command: how it is called.
        stopped: what is said where Ctrl-C comes before it has begun.
    """
    try:
        code: int = app(prog_name=command, standalone_mode=False) or 0
    except MnistSampleError as error:
        _complain(str(error))
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _complain(stopped)
        code = INTERRUPTED_CODE
    except OSError as error:  # of --help; those of the work have been told apart
        abandon(sys.stdout)
        _complain(f"cannot write {error.filename or 'stdout'}: {error.strerror or error}")
        code = 1
    except Exception as error:
        _complain(explain_usage(error, command))
        code = 2
    sys.exit(code)


def _complain(message: str) -> None:
    rank = os.environ.get("RANK", "0")
    for line in message.splitlines():  # which may quote what a stranger's file says
        write_stderr(f"{'' if rank == '0' else f'[worker {rank}] '}{make_printable(line)}")
