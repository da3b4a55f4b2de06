"""A thousand mutations of a good model file: each ends in a clear error or a picture."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.environment import ROOT

MUTATIONS = 1000
MAX_GROWTH = 256 * 2**20
START = "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))"
"""Runs a command from a small process: on Linux a peak begins with what the process that started it had."""


def test_no_mutation_crashes_hangs_or_fills_the_memory(conditional: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            START,
            sys.executable,
            "-m",
            "tests.runtime.mutate",
            conditional,
            str(MUTATIONS),
            tmp_path / "mutated.onnx",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = json.loads(done.stdout)
    assert outcomes["refused"] + outcomes["picture"] == MUTATIONS + 1
    assert outcomes["grown_bytes"] < MAX_GROWTH
    # The mutations are neither so wild that the first check stops them all, nor too tame to matter.
    assert outcomes["picture"] > MUTATIONS // 20
    assert outcomes["refused"] > MUTATIONS // 3
