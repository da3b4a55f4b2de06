"""`python -m train.average`."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from train.averaging_cli import run_command
    except KeyboardInterrupt:
        print("stopped before the average was written", file=sys.stderr)
        sys.exit(130)
    run_command()
