"""Images per second of several ways to make the same batch, measured in turn."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from tests.benchmarks.rounds import run_here

ROUNDS: Final = 3
MAX_REPEATS: Final = 2000

Work = Callable[[], object]


def measure_rates(cases: Mapping[str, Work], images: int, seconds: float) -> dict[str, list[float]]:
    """Return images per second of each case, one value a round.

    Args:
        cases: each makes `images` pictures and waits until they are made.
        images: per call.
        seconds: about how long a case runs in each round.
    """
    repeats = {name: _choose_repeats(work, seconds) for name, work in cases.items()}
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, work in cases.items():
            wall = run_here(partial(_repeat, work, repeats[name])).wall
            rates[name].append(images * repeats[name] / wall)
    return rates


def _choose_repeats(work: Work, seconds: float) -> int:
    """Warm up, and return how many calls take about so long."""
    work()
    once = run_here(work).wall
    return max(1, min(MAX_REPEATS, math.ceil(seconds / once)))


def _repeat(work: Work, times: int) -> None:
    for _ in range(times):
        work()
