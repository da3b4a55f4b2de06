"""`python -m train.evaluate`."""

from __future__ import annotations

from train.entry import enter

if __name__ == "__main__":
    enter("train.evaluate.cli", "stopped before the evaluation ended")
