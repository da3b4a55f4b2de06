"""Does an interrupted run go on, on the same device and on the other?"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

import torch

from tests.environment import environment
from tests.gpu.children import PATIENCE, TRAIN, is_plain_failure, run_command
from tests.gpu.context import Context
from tests.gpu.report import Report
from tests.gpu.torchrun import last_line
from tests.train.idx_files import write_folder
from tests.train.running import weights_of

STEPS: Final = {"cuda": 200, "cpu": 60}
"""Few enough for a CPU to take up a GPU's run."""
BATCH: Final = 32
ALIKE: Final = 0.5
"""Weights that differ by more, on average and relative to their size, are those of another run."""


def go_on_after_interruption(context: Context, report: Report) -> None:
    """Interrupt a run on each device, then go on with it on both."""
    devices = list(dict.fromkeys((context.device, "cpu")))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = write_folder(folder / "digits")
        for begun_on in devices:
            interrupted = folder / begun_on
            begin_and_interrupt(report, data, interrupted, begun_on)
            for device in devices:
                copy = folder / f"{begun_on}-{device}"
                shutil.copytree(interrupted, copy)
                go_on(report, copy, begun_on, device)
            compare_with_whole(report, data, folder, begun_on)


def make_command(data: Path, out: Path, device: str) -> list[str]:
    """Return the command of the run, which ends by its steps."""
    size = ["--steps", str(STEPS[device]), "--batch-size", str(BATCH)]
    return [*TRAIN, "--data", str(data), *size, "--device", device, "--out", str(out)]


def begin_and_interrupt(report: Report, data: Path, out: Path, device: str) -> None:
    """Begin a run, and press Ctrl-C once it has logged something."""
    command = make_command(data, out, device)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment()) as process:
        deadline = time.monotonic() + PATIENCE
        while not has_logged(out) and process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said = last_line(process.communicate()[1])
    report.check(f"Ctrl-C on {device}", process.returncode == 130 and "--resume" in said, said)


def has_logged(run: Path) -> bool:
    """Tell whether a run has written a line of metrics; the file is there before."""
    metrics = run / "metrics.jsonl"
    return metrics.exists() and metrics.stat().st_size > 0


def go_on(report: Report, folder: Path, begun_on: str, device: str) -> None:
    """Go on with a run, on its own device or on another."""
    begun = time.monotonic()
    done = run_command([*TRAIN, "--resume", str(folder), "--device", device])
    seconds = time.monotonic() - begun
    said = "done" if done.returncode == 0 else last_line(done.stderr)
    what = f"begun on {begun_on}, gone on with on {device}"
    if done.returncode != 0 and begun_on != device and is_plain_failure(done):
        report.measure(what, f"refused: {said}")
        return
    report.check(what, done.returncode == 0, f"{said}, {seconds:.0f} s", seconds=seconds)


def compare_with_whole(report: Report, data: Path, folder: Path, device: str) -> None:
    """Compare a resumed run with one that was not interrupted."""
    whole, resumed = folder / f"{device}-whole", folder / f"{device}-{device}"
    done = run_command(make_command(data, whole, device))
    if done.returncode != 0 or not (resumed / "result.png").exists():
        report.skip(f"resumed and whole run on {device}", last_line(done.stderr))
        return
    one, two = (
        torch.cat([weight.flatten().float() for weight in weights_of(run).values()])
        for run in (whole, resumed)
    )
    apart = float((one - two).abs().mean() / one.abs().mean())
    same = "equal to the bit" if torch.equal(one, two) else f"{apart:.1e} apart, relative to their size"
    report.check(f"resumed and whole run on {device}", apart <= ALIKE, f"weights {same}", apart=apart)
