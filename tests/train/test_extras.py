"""What runs beside the tests needs no more than the extras that the README names for it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.environment import ROOT, environment

OF_DEV = ("hypothesis", "mypy", "pytest", "xdist")
BENCHMARKS = sorted(path.stem for path in (ROOT / "tests" / "benchmarks").glob("*.py"))


@pytest.mark.parametrize(
    "modules",
    [["tests.gpu.__main__"], [f"tests.benchmarks.{name}" for name in BENCHMARKS]],
    ids=["gpu", "benchmarks"],
)
def test_it_starts_without_the_extra_dev(modules: list[str]) -> None:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({OF_DEV}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{hidden}; import {', '.join(modules)}"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
