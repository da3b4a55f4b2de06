"""`python -m train.evaluate.classifier`: makes the evaluation's own classifier anew."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    try:
        from train.evaluate.classifier_cli import run_command
    except KeyboardInterrupt:
        print("stopped before the classifier was made", file=sys.stderr)
        sys.exit(130)
    run_command()
