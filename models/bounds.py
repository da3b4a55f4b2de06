"""Range checks for configurations that may come from a stranger's file."""

from __future__ import annotations


def check_range(name: str, value: object, low: int, high: int) -> None:
    """Raise ValueError unless `value` is an int (and no bool) in [low, high]."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"{name} is {value!r}, but must be an integer from {low} to {high}")
