"""How much arithmetic a piece of work does, and how fast this machine multiplies matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from tests.benchmarks.rounds import Usage, run_here

SIDE: Final = 1024
PRODUCTS: Final = 10
MATRIX_OPERATIONS: Final = PRODUCTS * 2 * SIDE**3
"""Multiplications and additions of one run of `multiply_matrices`."""


def multiply_matrices(dtype: torch.dtype) -> Callable[[], Usage]:
    """Return work that multiplies square matrices: what the machine reaches where nothing else counts."""
    left, right = torch.randn(SIDE, SIDE).to(dtype), torch.randn(SIDE, SIDE).to(dtype)

    def work() -> None:
        for _ in range(PRODUCTS):
            torch.mm(left, right)

    return lambda: run_here(work)


def count_operations(work: Callable[[], object]) -> int:
    """Return the multiplications and additions of the matrix products and convolutions in `work`."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())
