"""Images per second by batch size: the package's path, bare onnxruntime, PyTorch, and the limits."""

from __future__ import annotations

import time
from typing import Final

import numpy as np
import torch
from matplotlib.figure import Figure

from mnist_sample import contract
from mnist_sample.modelfile import ModelFile, read_model
from mnist_sample.sampler import MAX_BATCH, Sampler
from tests.benchmarks.rounds import median
from tests.gpu.context import Context
from tests.gpu.limits import measure_limits
from tests.gpu.report import Report
from tests.gpu.sessions import BoundBatch, draw_feeds, open_bare
from tests.gpu.timing import Work, measure_rates
from tests.gpu.torch_rivals import Draw, make_draw, make_works

BATCHES: Final = {"cuda": (1024, 1, MAX_BATCH, 64, 8192, 8, 256, 4096, 16_384), "cpu": (64, 1, 256)}
"""The most telling first, in case time runs out."""
SECONDS: Final = {"cuda": 0.15, "cpu": 0.05}
COMPILED: Final = {"cuda": (1, 1024, MAX_BATCH), "cpu": (64,)}
"""Each shape is compiled anew, so that none pays for being general."""
NO_LABEL: Final = -1
ON_DEVICE: Final = " on device"
"""Ends the name of a way that leaves its pictures on the device."""
ENOUGH: Final = {"cuda": 125.0, "cpu": 60.0}
"""Seconds after which no further batch size is begun."""


def measure_throughput(context: Context, report: Report) -> None:
    """Measure all ways at all batch sizes, in turn at each, and compare the best with the limits."""
    begun = time.monotonic()
    model = read_model(context.model)
    limits = measure_limits(model, context.device)
    sampler, draw = Sampler(context.model, context.provider), make_draw(model, context.device)
    found: dict[int, dict[str, float]] = {}
    for batch in BATCHES[context.provider]:
        if time.monotonic() - begun > ENOUGH[context.provider]:
            report.skip(f"batch {batch}", "no time left")
            continue
        cases = {
            **sampler_cases(sampler, batch),
            **bound_cases(model, context, batch),
            **torch_cases(model, draw, context.device, batch),
        }
        rates = measure_rates(cases, batch, SECONDS[context.provider])
        found[batch] = {name: median(values) for name, values in rates.items()}
        text = "; ".join(f"{name} {rate:,.0f}" for name, rate in found[batch].items())
        report.measure(f"batch {batch}, images/s", text, **rates)
    report_limits(report, limits, found)
    draw_chart(context, limits, found)


def sampler_cases(sampler: Sampler, batch: int) -> dict[str, Work]:
    """Return the package's own way, from latents to arrays, on one thread."""
    feeds = draw_feeds(sampler.model, batch)
    latents = feeds[contract.INPUT_LATENT]
    labels = feeds.get(contract.INPUT_LABEL, np.full(batch, NO_LABEL))

    def work() -> None:
        sampler.batch_size = batch  # else it would fill the batch up to its own
        sampler.decode(latents, labels)

    return {"package": work}


def bound_cases(model: ModelFile, context: Context, batch: int) -> dict[str, Work]:
    """Return I/O binding, and CUDA graphs: both from host to host, and with all left on the device."""
    feeds = draw_feeds(model, batch)
    kinds: dict[str, dict[str, str]] = {
        "binding": {},
        **({"graph": {"enable_cuda_graph": "1"}} if context.provider == "cuda" else {}),
    }
    cases: dict[str, Work] = {}
    for name, options in kinds.items():
        bound = BoundBatch(open_bare(model, context.provider, options), context.provider, feeds)
        cases |= {name: bound.go_and_return, f"{name}{ON_DEVICE}": bound.stay}
    return cases


def torch_cases(model: ModelFile, draw: Draw, device: str, batch: int) -> dict[str, Work]:
    """Return PyTorch's ways; the compiled ones at a few batch sizes, since compiling takes seconds."""
    feeds = draw_feeds(model, batch)
    stay, go = make_works(draw, feeds, device)
    cases: dict[str, Work] = {"eager": go, f"eager{ON_DEVICE}": stay}
    if batch in COMPILED[device]:
        for name, mode in (("compile", "default"), ("compile with graphs", "reduce-overhead")):
            if mode == "default" or device == "cuda":
                compiled = torch.compile(draw, mode=mode, dynamic=False)
                stay, go = make_works(compiled, feeds, device)
                cases |= {name: go, f"{name}{ON_DEVICE}": stay}
    return cases


def report_limits(report: Report, limits: dict[str, float], found: dict[int, dict[str, float]]) -> None:
    """Report each limit, and the share of it that each way reaches at its best batch size."""
    names = sorted({name for rates in found.values() for name in rates})
    best = {name: max(rates.get(name, 0.0) for rates in found.values()) for name in names}
    for limit, allowed in limits.items():
        shares = {name: rate / allowed for name, rate in best.items()}
        text = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
        report.measure(f"limit: {limit}", f"{allowed:,.0f} images/s; {text}", allowed=allowed, **shares)


def draw_chart(context: Context, limits: dict[str, float], found: dict[int, dict[str, float]]) -> None:
    """Draw images per second over batch sizes, with the limits as lines."""
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots()
    names = sorted({name for rates in found.values() for name in rates})
    colours = {way: f"C{at}" for at, way in enumerate(name for name in names if not name.endswith(ON_DEVICE))}
    for name in names:
        points = sorted((batch, rates[name]) for batch, rates in found.items() if name in rates)
        style, colour = "--" if name.endswith(ON_DEVICE) else "-", colours[name.removesuffix(ON_DEVICE)]
        axes.plot(*zip(*points, strict=True), style, color=colour, marker=".", label=name)
    for name, rate in limits.items():
        axes.axhline(rate, color="grey", linewidth=0.7)
        axes.text(1, rate, f"limit: {name}", fontsize=7, color="grey")
    axes.set(xscale="log", yscale="log", xlabel="batch", ylabel="images per second")
    axes.set_title(f"onnxruntime on {context.provider}, PyTorch on {context.device}")
    axes.legend(fontsize=8)
    figure.savefig(context.out / "throughput.png", dpi=100)
