"""Made-up digits with labels: what a perfect generator would draw, without a trained one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SEGMENTS = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcfgd")
"""The strokes of a seven-segment display that make each digit."""
STROKES = {
    "a": (slice(4, 6), slice(9, 19)),
    "b": (slice(4, 14), slice(18, 20)),
    "c": (slice(14, 24), slice(18, 20)),
    "d": (slice(22, 24), slice(9, 19)),
    "e": (slice(14, 24), slice(8, 10)),
    "f": (slice(4, 14), slice(8, 10)),
    "g": (slice(13, 15), slice(9, 19)),
}
"""Rows and columns of each stroke."""


def draw_digits(labels: npt.NDArray[np.int64], seed: int, start: int) -> npt.NDArray[np.uint8]:
    """Draw segment digits uint8 `[n, 28, 28]` of varying ink, slant and place, as a `Draw` does."""
    images = np.zeros((len(labels), 28, 28), np.uint8)
    rows = np.arange(28)
    for at, label in enumerate(labels):
        random = np.random.default_rng((seed, start + at))
        ink = random.uniform(100, 255)
        digit = np.zeros((28, 28))
        for stroke in SEGMENTS[label]:
            digit[STROKES[stroke]] = ink * random.uniform(0.7, 1.0)
        slant, right, down = random.uniform(-0.25, 0.25), *random.integers(-2, 3, 2)
        moved = right + np.rint(slant * (14 - rows)).astype(int)
        above = (rows - down) % 28
        images[at] = digit[above[:, None], (rows - moved[above, None]) % 28]
    return images


def draw_constant(labels: npt.NDArray[np.int64], _seed: int, _start: int) -> npt.NDArray[np.uint8]:
    """Draw one and the same digit, whatever is asked for."""
    return np.repeat(draw_digits(np.zeros(1, np.int64), 0, 0), len(labels), axis=0)


def draw_others(labels: npt.NDArray[np.int64], seed: int, start: int) -> npt.NDArray[np.uint8]:
    """Draw good digits, but never the one that is asked for."""
    return draw_digits((labels + 1) % 10, seed, start)
