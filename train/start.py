"""Begins a run with the generator of another, against a discriminator of its own.

A discriminator that has seen the training digits hundreds of times knows them apart from any others, and what
it tells its generator is less and less about digits. A fresh one has that mistake before it, not behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from models import checkpoint
from models.checkpoint import Checkpoint, CheckpointError
from train.state import ResumeError, State

HEAD_START: Final = 1 / 6
"""Share of such a run in which the discriminator learns alone."""
LR_RATIO: Final = 1.0
"""Unless another is given: a generator that is good already has less to learn than its opponent."""


@dataclass(frozen=True)
class Start:
    """A trained generator to begin with.

    Attributes:
        path: its `gen.pt`.
        sha256: of that file.
        trained: what the file holds.
    """

    path: Path
    sha256: str
    trained: Checkpoint

    def settings(self, lr_ratio: float | None) -> dict[str, Any]:
        """Return the settings of a run that begins with it, `lr_ratio` if one was given.

        Its BatchNorm keeps its statistics from the start: they are settled.
        """
        return {
            "start_from": str(self.path),
            "start_sha256": self.sha256,
            "settle": 0.0,
            "head_start": HEAD_START,
            "lr_ratio": LR_RATIO if lr_ratio is None else lr_ratio,
        }

    def put_into(self, state: State, class_names: tuple[str, ...]) -> None:
        """Make it the generator of `state`, which learns to draw these classes.

        Raises:
            ResumeError: it is of another shape, or draws other classes.
        """
        if self.trained.config != state.model:
            raise ResumeError(
                f"cannot start from {self.path}: it holds {self.trained.config}, and this run trains "
                f"{state.model}; choose the --arch and --data that it was trained with"
            )
        if self.trained.class_names != class_names:
            mine, theirs = (" ".join(names[:10]) for names in (self.trained.class_names, class_names))
            raise ResumeError(
                f"cannot start from {self.path}: it draws the classes {mine}, and these data hold {theirs}; "
                "choose the --data that it was trained with"
            )
        for module in (state.generator, state.average):
            module.load_state_dict(self.trained.weights)


def read_start(path: Path) -> Start:
    """Read the generator to begin with.

    Raises:
        ResumeError: the file is missing, damaged, too large or no checkpoint.
    """
    try:
        trained, sha256 = checkpoint.read(path)
    except CheckpointError as error:
        raise ResumeError(str(error)) from error
    return Start(path, sha256, trained)
