"""`python -m train.tidy`."""

from __future__ import annotations

from train.entry import enter

if __name__ == "__main__":
    enter("train.tidying_cli", "stopped before the generator was written")
