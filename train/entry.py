"""Enters one of this room's commands: what ends it before it can speak for itself is said in one line."""

from __future__ import annotations

import importlib
import sys
from typing import Final, NoReturn

_ROOMS: Final = ("train", "models")


def enter(module: str, stopped: str) -> NoReturn:
    """Import a command, which takes seconds, and run it.

    Args:
        module: where its `run_command` is.
        stopped: what is said where Ctrl-C comes before that is imported.
    """
    try:
        try:
            run_command = importlib.import_module(module).run_command
        except KeyboardInterrupt:
            print(stopped, file=sys.stderr)
            sys.exit(130)
        sys.exit(run_command())
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if not name or name in _ROOMS:
            raise
        if sys.stderr is not None:  # print() would take stdout for it
            print(f'the package {name} is missing: pip install -e ".[train]"', file=sys.stderr)
        sys.exit(1)
