"""Arguments that several benchmarks take, and how all of them start."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from mnist_sample.errors import MnistSampleError
from models.checkpoint import CheckpointError

Models = Annotated[list[Path] | None, typer.Argument(help="Model files; the bundled one by default.")]
Model = Annotated[Path | None, typer.Argument(help="A model file; the bundled one by default.")]
Count = Annotated[int, typer.Argument(help="How many digits.")]
Mnist = Annotated[str, typer.Option(help="Where MNIST is: auto or its folder.")]


def start(main: Callable[..., None]) -> None:
    """Run a command line; what a user can cause ends in one or two lines and exit code 1."""
    try:
        typer.run(main)
    except (MnistSampleError, CheckpointError) as error:
        sys.exit(f"error: {error}")
