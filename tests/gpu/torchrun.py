"""Does training run under `torchrun` with one process, and do its messages pass through nccl?"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.gpu.children import run_command
from tests.gpu.context import Context
from tests.gpu.report import Report
from tests.train.idx_files import write_folder

TORCHRUN: Final = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1", "-m"),
]
STEPS: Final = 20
BACKENDS: Final = {"cuda": "nccl", "cpu": "gloo"}


def run_under_torchrun(context: Context, report: Report) -> None:
    """Train a short run under `torchrun`, then steps whose every message is sent."""
    with tempfile.TemporaryDirectory() as name:
        data = write_folder(Path(name) / "digits")
        out = Path(name) / "run"
        options = ["--data", str(data), "--steps", str(STEPS), "--device", context.device, "--out", str(out)]
        done = run_command([*TORCHRUN, "train", *options])
        holds = done.returncode == 0 and (out / "gen.pt").exists()
        report.check(
            f"torchrun -m train --device {context.device}", holds, last_line(done.stdout + done.stderr)
        )
    done = run_command([*TORCHRUN, "tests.gpu.group_of_one", context.device])
    said = last_line(done.stdout if done.returncode == 0 else done.stderr)
    backend = BACKENDS[context.device]
    holds = done.returncode == 0 and said.startswith(f"{backend}: heard") and "nan" not in said
    report.check(f"all messages over {backend}, a group of one", holds, said)


def last_line(text: str) -> str:
    """Return the last line that says something."""
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["nothing was said"])[-1]
