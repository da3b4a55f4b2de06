"""Arguments of the commands that look at the digits of model files beside MNIST's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Models = Annotated[list[Path] | None, typer.Argument(help="Model files; the bundled one by default.")]
Mnist = Annotated[str, typer.Option(help="Where MNIST is: auto or its folder.")]
