"""`python -m train.evaluate.classifier`: makes the evaluation's own classifier anew."""

from __future__ import annotations

from train.entry import enter

if __name__ == "__main__":
    enter("train.evaluate.classifier_cli", "stopped before the classifier was made")
