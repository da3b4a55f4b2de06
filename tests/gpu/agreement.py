"""Are the pictures of CUDA those of the CPU, in any batch?"""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_sample.sampler import Sampler
from mnist_sample.sheet import arrange, enlarge
from tests.gpu.children import SAMPLE, run_command
from tests.gpu.context import Context
from tests.gpu.report import Report
from tests.gpu.sessions import PROVIDERS, draw_feeds, draw_images, open_bare

SAMPLES: Final = {"cuda": 10_000, "cpu": 1000}
ALONE: Final = 64
SHOWN: Final = 16
SCALE: Final = 2

Images = NDArray[np.uint8]


def compare_with_cpu(context: Context, report: Report) -> None:
    """Compare pictures in grey levels: the command's, a long series, rows alone, and TF32's."""
    provider = context.provider
    run_the_command(context, report)
    sampler, beside = Sampler(context.model, provider), Sampler(context.model, "cpu", batch_size=32)
    name = sampler.session.get_providers()[0]
    report.check(
        "provider, read from the open session",
        name == PROVIDERS[provider],
        name,
        options=sampler.session.get_provider_options().get(name, {}),
    )
    n = SAMPLES[provider]
    begun = time.perf_counter()
    images, expected = sampler.sample(n).images, beside.sample(n).images
    report_difference(report, f"{n} samples, {provider} and CPU", images, expected)
    report.measure("time for both", f"{time.perf_counter() - begun:.1f} s")
    alone = np.concatenate([sampler.sample(1, start=at).images for at in range(ALONE)])
    report_difference(report, f"{ALONE} samples alone and in their batch", alone, images[:ALONE])
    show_difference(context, images[:SHOWN], expected[:SHOWN])
    if provider == "cuda":
        compare_tf32(sampler, report, expected)


def run_the_command(context: Context, report: Report) -> None:
    """Draw five digits as a user would."""
    target = context.out / f"digits-{context.provider}.png"
    command = [*SAMPLE, "--n", "5", "--provider", context.provider, "--out", str(target)]
    done = run_command([*command, *(["--model", str(context.model)] if context.model else [])])
    said = done.stderr.strip()
    holds = done.returncode == 0 and f"drawn on {context.provider.upper()}" in said and target.exists()
    report.check(f"mnist-sample --n 5 --provider {context.provider}", holds, said)


def report_difference(report: Report, what: str, images: Images, expected: Images) -> None:
    """Report how far apart two series are; one grey level is allowed."""
    found = measure_difference(images, expected)
    text = f"{found['levels']} grey levels at most, {found['pixels']} of {images.size:,} pixels differ"
    report.check(what, found["levels"] <= 1, text, **found)


def measure_difference(images: Images, expected: Images) -> dict[str, Any]:
    """Return the largest difference in grey levels, and how many pixels differ."""
    difference = np.abs(images.astype(np.int16) - expected)
    return {"levels": int(difference.max()), "pixels": int(np.count_nonzero(difference))}


def compare_tf32(sampler: Sampler, report: Report, expected: Images) -> None:
    """Measure what TF32, which the package switches off, would do to the pictures."""
    session = open_bare(sampler.model, "cuda", {"use_tf32": "1"})
    rows = min(len(expected), 1024)
    images = draw_images(session, draw_feeds(sampler.model, rows))
    found = measure_difference(images, expected[:rows])
    text = f"{found['levels']} grey levels at most, {found['pixels']:,} of {images.size:,} pixels differ"
    report.measure(f"with TF32, {rows} samples", text, **found)


def show_difference(context: Context, images: Images, expected: Images) -> None:
    """Draw digits of both, and below them where they differ: one grey level is half of white."""
    difference = np.abs(images.astype(np.int16) - expected)
    rows = [images, expected, np.minimum(difference * 128, 255).astype(np.uint8)]
    sheet = np.concatenate([enlarge(arrange(row, len(row)), SCALE) for row in rows])
    Image.fromarray(sheet).save(context.out / "agreement.png")
