"""`python -m train`."""

from __future__ import annotations

from train.entry import enter

if __name__ == "__main__":
    enter("train.command", "stopped before the training began")
