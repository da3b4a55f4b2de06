"""What does the first picture cost, by cuDNN's search for algorithms and by the filling-up of batches?"""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Final

from mnist_sample.modelfile import read_model
from mnist_sample.session import ProviderChoice
from tests.benchmarks.rounds import describe, run_process, take_turns
from tests.gpu.children import SAMPLE, run_fresh
from tests.gpu.context import Context
from tests.gpu.report import Report
from tests.gpu.sessions import draw_feeds, draw_images, open_bare
from tests.gpu.timing import measure_rates

SEARCHES: Final = ("HEURISTIC", "EXHAUSTIVE", "DEFAULT")
SHAPES: Final = (1024, 1000, 8)
"""A full batch, then two shapes that are new without filling-up: a series' last batch, and a few digits."""
LONE: Final = (1, 8, 64, 256, 1024, 4096)
SECONDS: Final = 0.1
ROUNDS: Final = 3


def measure_first_call(context: Context, report: Report) -> None:
    """Time first and second calls in fresh processes, lone batches, and the command with five digits."""
    for search in SEARCHES if context.provider == "cuda" else SEARCHES[:1]:
        found = run_fresh(time_first_calls, context.model, context.provider, search)
        text = ", ".join(f"{name} {value:.1f}" for name, value in found.items())
        report.measure(f"{search}, ms", text, **found)
    model = read_model(context.model)
    session = open_bare(model, context.provider)
    for rows in LONE:
        feeds = draw_feeds(model, rows)
        calls = measure_rates({"": partial(draw_images, session, feeds)}, 1, SECONDS)[""]
        milliseconds = [1000 / rate for rate in calls]
        report.measure(f"a batch of {rows}, warm, ms", describe(milliseconds), rounds=milliseconds)
    time_five_digits(context, report)


def time_first_calls(path: Path | None, provider: ProviderChoice, search: str) -> dict[str, float]:
    """Return milliseconds of opening a session, and of the first and second call with each shape."""
    model = read_model(path)
    begun = time.perf_counter()
    session = open_bare(model, provider, {"cudnn_conv_algo_search": search})
    found = {"open": 1000 * (time.perf_counter() - begun)}
    for rows in SHAPES:
        feeds = draw_feeds(model, rows)
        for turn in ("first", "second"):
            begun = time.perf_counter()
            draw_images(session, feeds)
            found[f"{turn} of {rows}"] = 1000 * (time.perf_counter() - begun)
    return found


def time_five_digits(context: Context, report: Report) -> None:
    """Time `mnist-sample --n 5` in fresh processes, on the provider and on the CPU in turn."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*SAMPLE, *(["--model", str(context.model)] if context.model else []), "--n", "5"]
        command += ["--out", f"{folder}/digits.png"]
        commands = {
            f"mnist-sample --n 5 --provider {provider}, s": [*command, "--provider", provider]
            for provider in dict.fromkeys((context.provider, "cpu"))
        }
        commands["python with onnxruntime imported, s"] = [sys.executable, "-c", "import onnxruntime"]
        usages = take_turns({name: partial(run_process, run) for name, run in commands.items()}, ROUNDS)
    for name, turns in usages.items():
        seconds = [usage.wall for usage in turns]
        report.measure(name, describe(seconds), rounds=seconds)
