"""Runs a command line in the process of the tests."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

import pytest


def call(monkeypatch: pytest.MonkeyPatch, run_command: Callable[[], NoReturn], *arguments: object) -> int:
    """Run the command with these arguments and return its exit code."""
    monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        run_command()
    assert isinstance(ended.value.code, int)
    return ended.value.code
