"""`python -m train.evaluate`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from train.evaluate.cli import run_command
    except KeyboardInterrupt:
        print("stopped before the evaluation ended", file=sys.stderr)
        sys.exit(130)
    run_command()
