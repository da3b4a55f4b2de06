"""Arguments that several benchmarks take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Models = Annotated[list[Path] | None, typer.Argument(help="Model files; the bundled one by default.")]
Model = Annotated[Path | None, typer.Argument(help="A model file; the bundled one by default.")]
Count = Annotated[int, typer.Argument(help="How many digits.")]
Mnist = Annotated[str, typer.Option(help="Where MNIST is: auto or its folder.")]
