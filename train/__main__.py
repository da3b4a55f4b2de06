"""`python -m train`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from train.command import run_command
    except KeyboardInterrupt:
        sys.exit("stopped before the training began")
    run_command()
