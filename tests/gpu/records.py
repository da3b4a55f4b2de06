"""How long until generated digits are as close to MNIST as the real test digits are?"""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Final

import torch

from tests.benchmarks.train_records import Record, race, warm_up
from tests.gpu.context import Context
from tests.gpu.report import Report
from train.config import DEFAULTS, TrainConfig
from train.data import load_dataset
from train.device import has_fast_bf16
from train.quality import make_quality

RACES: Final = {
    "cuda": ((256, 2000), (512, 1000), (512, 2000), (1024, 1000), (512, 4000), (1024, 3000), (512, 8000)),
    "cpu": ((64, 8),),
}
"""Batch size and steps of each run, at one rate for both networks. A short run has learned more by its end
than a long one by then."""
READINGS: Final = 5
"""The distance is measured so often in a run."""
TARGETS: Final = (3.0, 1.5, 1.0)
"""Times the distance of the real test digits."""
MORE_SEEDS: Final = (1, 2)
"""Seeds of the further runs with the settings that were fastest with seed 0."""
ENOUGH: Final = {"cuda": 85.0, "cpu": 60.0}
"""Seconds after which no further run is begun."""

Found = dict[TrainConfig, dict[float, Record]]


def train_to_records(context: Context, report: Report) -> None:
    """Race runs of several lengths to each target, then the fastest of each with other seeds."""
    if context.data is None:
        report.skip("training records", "no MNIST: name its folder with --data")
        return
    begun = time.monotonic()
    device = torch.device(context.device)
    data = load_dataset(str(context.data), print)
    quality = make_quality(data)
    found: Found = {}

    def run(config: TrainConfig) -> None:
        what = f"{name(config)}, seed {config.seed}"
        if time.monotonic() - begun > ENOUGH[context.device]:
            report.skip(what, "no time left")
            return
        every = max(1, (config.steps or 1) // READINGS)
        records = race(data, [config], device, quality, TARGETS, every)
        found[config] = records
        text = ", ".join(f"{target:g} x in {record.seconds:.2f} s" for target, record in records.items())
        seconds = {f"{target:g}": record.seconds for target, record in records.items()}
        report.measure(what, text or "no target met", **seconds)

    default = replace(DEFAULTS["digits"], lr_ratio=1.0, bf16=has_fast_bf16(device), device=device.type)
    configs = [replace(default, batch_size=batch, steps=steps) for batch, steps in RACES[context.device]]
    warm_up(data, configs[0], device)
    for config in configs:
        run(config)
    fastest = {target: find_fastest(found, target) for target in TARGETS}
    best = {target: config for target, config in fastest.items() if config}
    for config in dict.fromkeys(best.values()):
        for seed in MORE_SEEDS:
            run(replace(config, seed=seed))
    for target in TARGETS:
        report_target(report, target, best.get(target), found)


def name(config: TrainConfig) -> str:
    """Return what tells the settings of a run from others'."""
    return f"{config.steps} steps of {config.batch_size}"


def find_fastest(found: Found, target: float) -> TrainConfig | None:
    """Return the settings that met a target first, None where none did."""
    met = {config: records[target].seconds for config, records in found.items() if target in records}
    return min(met, key=met.__getitem__) if met else None


def report_target(report: Report, target: float, best: TrainConfig | None, found: Found) -> None:
    """Report the seconds to a target of all seeds that ran with the settings fastest with the first."""
    what = f"time to {target:g} x the real digits' distance"
    if best is None:
        report.measure(what, "not met")
        return
    runs = [records for config, records in found.items() if replace(config, seed=best.seed) == best]
    seconds = [records[target].seconds for records in runs if target in records]
    spread = f" ± {statistics.stdev(seconds):.2f}" if len(seconds) > 1 else ""
    text = f"{statistics.mean(seconds):.2f}{spread} s, {len(seconds)} of {len(runs)} seeds; {name(best)}"
    report.measure(what, text, seconds=seconds, steps=best.steps, batch_size=best.batch_size)
