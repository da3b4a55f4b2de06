"""`python -m train`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from train.command import run_command
    except KeyboardInterrupt:
        print("stopped before the training began", file=sys.stderr)
        sys.exit(130)
    run_command()
