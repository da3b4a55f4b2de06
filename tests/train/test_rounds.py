"""What the benchmarks say of a command is true of it alone."""

from __future__ import annotations

import sys

import pytest

from tests.benchmarks.rounds import run_process

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts kilobytes, as Linux does")


def test_the_peak_of_a_small_command_is_not_that_of_the_process_that_measures_it() -> None:
    held = b"x" * 2**28
    peak = run_process([sys.executable, "-c", "pass"]).peak
    assert 2**20 < peak < len(held)


def test_the_peak_of_a_large_command_is_seen() -> None:
    assert run_process([sys.executable, "-c", "b'x' * 2**28"]).peak > 2**28


def test_a_command_that_fails_ends_the_benchmark() -> None:
    with pytest.raises(SystemExit, match="exit code 3 from"):
        run_process([sys.executable, "-c", "raise SystemExit(3)"])
