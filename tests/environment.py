"""The environment of the tests' child processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import mnist_sample

ROOT: Final = Path(__file__).parents[1]
MISSING: Final = "raise ModuleNotFoundError(f'No module named {__name__!r}', name=__name__)"
"""A module that is as good as not there."""


def environment(first_path: Path | None = None, **changes: str) -> dict[str, str]:
    """Return this process's environment, in which children find the same packages, with changes.

    Args:
        first_path: a folder whose packages come before all others.
        changes: variables to set.
    """
    paths = [first_path, ROOT, Path(mnist_sample.__file__).parents[1], os.environ.get("PYTHONPATH")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(path) for path in paths if path), **changes}


def run_with_torch(content: str, folder: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m` with a `torch` of this content, made in a folder."""
    (folder / "torch.py").write_text(content)
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def leftovers(home: Path, *arguments: str) -> list[Path]:
    """Run Python with a home folder of its own, where onnxruntime would keep records; list what it left."""
    variables = environment(HOME=str(home), XDG_CACHE_HOME=str(home / "cache"))
    variables.pop("ORT_DISABLE_TELEMETRY", None)
    done = subprocess.run([sys.executable, *arguments], env=variables, capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"")
    return list(home.rglob("*"))
