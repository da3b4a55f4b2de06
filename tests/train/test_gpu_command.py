"""`python -m tests.gpu` runs with the extras that the README names for it, `train` and `cuda`."""

from __future__ import annotations

import subprocess
import sys

from tests.environment import environment

OF_DEV = ("hypothesis", "mypy", "pytest", "xdist")


def test_it_starts_without_the_extra_dev() -> None:
    hidden = f"import sys; sys.modules.update(dict.fromkeys({OF_DEV}))"
    done = subprocess.run(
        [sys.executable, "-c", f"{hidden}; import tests.gpu.__main__"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
