"""Do the checks of an export hold where onnxruntime runs on CUDA, of what PyTorch has trained there?"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.gpu.children import TRAIN, run_command
from tests.gpu.context import Context
from tests.gpu.report import Report
from tests.gpu.torchrun import last_line
from tests.train.idx_files import write_folder

EXPORT: Final = [sys.executable, "-m", "export"]
STEPS: Final = 20


def export_what_was_trained(context: Context, report: Report) -> None:
    """Train a few steps, export with the checks on one device, and prove the file again on the other."""
    with tempfile.TemporaryDirectory() as name:
        run, target = Path(name) / "run", Path(name) / "gen.onnx"
        data = write_folder(Path(name) / "digits")
        options = ["--data", str(data), "--steps", str(STEPS), "--device", context.device]
        trained = run_command([*TRAIN, *options, "--out", str(run)])
        report.check(f"train --device {context.device}", trained.returncode == 0, last_line(trained.stderr))
        files = [str(run / "gen.pt"), str(target)]
        for what, options in (
            (f"export --provider {context.provider}", ["--provider", context.provider]),
            ("export --check --provider cpu", ["--check"]),
        ):
            done = run_command([*EXPORT, *files, *options])
            report.check(what, done.returncode == 0, last_line(done.stdout + done.stderr))
