"""Draws digits in a terminal, with the colours that it has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from mnist_sample import contract

Depth = Literal["truecolor", "256", "16", "none"]
_UPPER_HALF: Final = "▀"
_RAMP: Final = " .:-=+*#%@"
_RESET: Final = "\x1b[0m"
_MAX_ROWS: Final = 3
"""Rows of digits shown at most; the file has them all."""
_GREYS_16: Final = (30, 90, 37, 97)
"""Codes of black, dark grey, light grey and white."""


def detect_depth(environment: Mapping[str, str], encoding: str) -> Depth:
    """Return how many colours a terminal shows, by what its environment and encoding say."""
    term = environment.get("TERM", "")
    try:
        _UPPER_HALF.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "none"
    if environment.get("NO_COLOR") or term == "dumb":
        return "none"
    if environment.get("COLORTERM", "") in ("truecolor", "24bit") or environment.get("WT_SESSION"):
        return "truecolor"
    if "256" in term:
        return "256"
    return "16" if term else "none"  # Windows' old console, which names no TERM, shows codes as they are


def _colour(depth: Depth, grey: int, ground: bool) -> str:
    if depth == "truecolor":
        return f"{48 if ground else 38};2;{grey};{grey};{grey}"
    if depth == "256":
        # 232 to 255 are 24 greys from 8 to 238; 16 and 231 are black and white.
        step = round((grey - 8) / 10)
        return f"{48 if ground else 38};5;{16 if step < 0 else 231 if step > 23 else 232 + step}"
    return str(_GREYS_16[grey * len(_GREYS_16) // 256] + (10 if ground else 0))


def _draw_pairs(upper: NDArray[np.uint8], lower: NDArray[np.uint8], depth: Depth) -> str:
    """Return one line of text that shows two rows of pixels."""
    if depth == "none":
        means = (upper.astype(int) + lower) // 2
        return "".join(_RAMP[mean * len(_RAMP) // 256] for mean in means.tolist()).rstrip()
    line, last = [], ""
    for above, below in zip(upper.tolist(), lower.tolist(), strict=True):
        colours = f"\x1b[{_colour(depth, above, False)};{_colour(depth, below, True)}m"
        line.append(_UPPER_HALF if colours == last else colours + _UPPER_HALF)
        last = colours
    return "".join(line) + _RESET


def draw_terminal(images: NDArray[np.uint8], n: int, width: int, depth: Depth) -> str:
    """Return text that shows as many of the digits as fit, with a note on the rest.

    Args:
        images: uint8 `[m, 28, 28]`, the first ones.
        n: digits there are in all.
        width: columns of the terminal; at least one digit is drawn.
        depth: colours that it has; `none` gives plain ASCII.
    """
    size = contract.IMAGE_SIZE
    across = max(1, min(len(images), width // size))
    shown = images[: across * _MAX_ROWS]
    lines = []
    for at in range(0, len(shown), across):
        pixels = np.concatenate(list(shown[at : at + across]), axis=1)
        lines += [_draw_pairs(pixels[y], pixels[y + 1], depth) for y in range(0, size, 2)]
    if len(shown) < n:
        lines.append(f"... and {n - len(shown)} more")
    return "\n".join(lines)
