"""The environment of the tests' child processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import mnist_sample

ROOT: Final = Path(__file__).parents[1]


def environment(first_path: Path | None = None, **changes: str) -> dict[str, str]:
    """Return this process's environment, in which children find the same packages, with changes.

    Args:
        first_path: a folder whose packages come before all others.
        changes: variables to set.
    """
    paths = [first_path, ROOT, Path(mnist_sample.__file__).parents[1], os.environ.get("PYTHONPATH")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(path) for path in paths if path), **changes}
