"""`python -m train.average`."""

from __future__ import annotations

from train.entry import enter

if __name__ == "__main__":
    enter("train.averaging_cli", "stopped before the average was written")
