"""Runs a command line of this room, and says on stderr what went wrong, and in which worker."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

from mnist_sample.files import write_stderr
from mnist_sample.process import INTERRUPTED_CODE
from mnist_sample.shell import run_app
from mnist_sample.text import make_printable


def run_and_exit(app: typer.Typer, command: str, stopped: str) -> NoReturn:
    """Run `app` with this process's arguments, and exit.

    Args:
        app: the command.
        command: how it is called.
        stopped: what is said where Ctrl-C comes before it has begun.
    """
    try:
        sys.exit(run_app(app, command, _complain))
    except KeyboardInterrupt:
        _complain(stopped)
        sys.exit(INTERRUPTED_CODE)


def _complain(message: str) -> None:
    rank = os.environ.get("RANK", "0")
    for line in message.splitlines():  # which may quote what a stranger's file says
        write_stderr(f"{'' if rank == '0' else f'[worker {rank}] '}{make_printable(line)}")
