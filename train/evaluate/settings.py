"""How thoroughly to evaluate: known to the command line before PyTorch is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from mnist_sample.errors import UsageError

MIN_DIGITS: Final = 100
MAX_DIGITS: Final = 10_000
"""As many as there are real test digits: a figure is compared with the same figure of as many real ones."""
MAX_SEEDS: Final = 100


@dataclass(frozen=True)
class Settings:
    """How thoroughly to evaluate.

    Attributes:
        digits: generated digits per draw, and real test digits beside them; 100 to 10,000.
        seeds: draws, and trainings of each kind for the classification accuracy score; 1 to 100.
        cas: whether to take the classification accuracy score.

    Raises:
        UsageError: a number is out of range.
    """

    digits: int = MAX_DIGITS
    seeds: int = 3
    cas: bool = False

    def __post_init__(self) -> None:
        if not MIN_DIGITS <= self.digits <= MAX_DIGITS:
            raise UsageError(
                f"--n {self.digits} is out of range: {MIN_DIGITS} to {MAX_DIGITS:,}, the number of real test "
                "digits to compare with"
            )
        if not 1 <= self.seeds <= MAX_SEEDS:
            raise UsageError(f"--seeds {self.seeds} is out of range: 1 to {MAX_SEEDS}")
