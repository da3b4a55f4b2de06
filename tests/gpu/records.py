"""How long until generated digits are as close to MNIST as the real test digits are?"""

from __future__ import annotations

import os
import shutil
import time
from typing import Any, Final

from tests.gpu.context import Context
from tests.gpu.report import Report
from tests.train.running import read_metrics
from train.session import Request, run

LENGTHS: Final = {"cuda": (1000, 2000, 4000, 12_000, 24_000), "cpu": (24,)}
"""Steps of each run: a short run has learned more by its end than a long one by then."""
TARGETS: Final = (3.0, 1.5, 1.0)
"""Times the distance of the real test digits."""
ENOUGH: Final = 70.0
"""Seconds after which no further run is begun."""


def train_to_records(context: Context, report: Report) -> None:
    """Train runs of several lengths, and report the first second at which each target was met."""
    if context.data is None:
        report.skip("training records", "no MNIST: name its folder with --data")
        return
    os.environ["MNIST_DIR"] = str(context.data)
    begun = time.monotonic()
    met: list[tuple[float, float, int]] = []
    for steps in LENGTHS[context.device]:
        if time.monotonic() - begun > ENOUGH:
            report.skip(f"{steps} steps", "no time left")
            continue
        metrics = train(context, steps)
        measured = [line for line in metrics if "frechet" in line]
        met += [(line["frechet"] / line["frechet_real"], line["seconds"], steps) for line in measured]
        last = metrics[-1]
        speed = f"{last['images_per_second']:,.0f} images/s, figures and pictures included"
        distance = f"distance {last['frechet'] / last['frechet_real']:.2f} x real test digits'"
        report.measure(f"{steps} steps", f"{distance}, {last['seconds']:.1f} s, {speed}", measured=measured)
    for target in TARGETS:
        report_target(report, target, met)


def train(context: Context, steps: int) -> list[dict[str, Any]]:
    """Train one run and return its metrics; its last pictures stay in the folder of all results."""
    folder = context.out / f"run-{steps}"
    if folder.exists():
        shutil.rmtree(folder)
    run(Request("mnist", folder, None, {"steps": steps, "device": context.device}))
    shutil.copyfile(folder / "result.png", context.out / f"run-{steps}.png")
    return read_metrics(folder)


def report_target(report: Report, target: float, met: list[tuple[float, float, int]]) -> None:
    """Report the shortest time to a target over all runs, or how close they came."""
    what = f"time to {target:g} x the real digits' distance"
    if times := [(seconds, steps) for ratio, seconds, steps in met if ratio <= target]:
        seconds, steps = min(times)
        report.measure(what, f"{seconds:.1f} s, in the run of {steps} steps", seconds=seconds, steps=steps)
    else:
        report.measure(what, f"not met: {min(met)[0]:.2f} x at best", best=min(met)[0])
