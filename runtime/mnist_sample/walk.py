"""Draws a walk through latent space as a looping GIF."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_sample import contract
from mnist_sample.errors import UsageError
from mnist_sample.job import Job
from mnist_sample.randomness import draw_latents
from mnist_sample.sampler import Samples
from mnist_sample.sheet import enlarge

FRAMES_PER_STEP: Final = 16
_FRAME_MS: Final = 50
_MAX_PIXELS: Final = 2**28
"""Pillow keeps all frames until the file is complete."""


def check_walk(n: int, scale: int) -> None:
    """Refuse a walk that does not fit into memory.

    Raises:
        UsageError: its frames have more than 2**28 pixels in all.
    """
    if n * FRAMES_PER_STEP * (contract.IMAGE_SIZE * scale) ** 2 > _MAX_PIXELS:
        raise UsageError(
            f"a walk past {n} digits at scale {scale} is too long for a GIF: use fewer, or a smaller --scale"
        )


def slerp(a: NDArray[np.float32], b: NDArray[np.float32], t: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return float32 `[len(t), dim]`: spherical interpolation from latent `a` (t = 0) to `b` (t = 1).

    Points between two normal latents on a straight line would be shorter than any that the generator was
    trained on. White, "Sampling Generative Networks", https://arxiv.org/abs/1609.04468
    """
    lengths = float(np.linalg.norm(a)) * float(np.linalg.norm(b))
    angle = math.acos(max(-1.0, min(1.0, float(a @ b) / lengths))) if lengths else 0.0
    t = t[:, None]
    if math.sin(angle) < 1e-6:
        return ((1 - t) * a + t * b).astype(np.float32)
    path: NDArray[np.float64] = (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / math.sin(angle)
    return path.astype(np.float32)


def draw_walk(job: Job) -> Generator[Samples]:
    """Yield the frames from each sample of the job to the next, and back to the first.

    Where the class changes, the pictures of both classes for the same latent are blended into each other.
    """
    model = job.sampler.model
    latents = draw_latents(job.seed, job.start, job.n, model.latent_dim) * np.float32(job.truncation)
    labels = job.labels(job.start, job.n)
    t = np.arange(FRAMES_PER_STEP) / FRAMES_PER_STEP
    t = t * t * (3 - 2 * t)  # slow at the samples, quick between them
    for at in range(job.n):
        following = (at + 1) % job.n
        path = slerp(latents[at], latents[following], t)
        frames = job.sampler.decode(path, np.full(len(t), labels[at])).images.astype(np.float64)
        if labels[at] != labels[following]:
            goal = job.sampler.decode(path, np.full(len(t), labels[following])).images
            frames += (goal - frames) * t[:, None, None]
        yield Samples(np.rint(frames).astype(np.uint8), np.full(len(t), labels[at]))


def write_walk(file: BinaryIO, job: Job, batches: Iterable[Samples], scale: int) -> None:
    """Write the frames as a GIF that loops without end, with how to draw it again in its comment."""
    frames = (Image.fromarray(enlarge(frame, scale)) for batch in batches for frame in batch.images)
    facts = {**job.facts(), "index": str(job.start), "n": str(job.n)}
    comment = " ".join(f"{key}={value}" for key, value in facts.items() if key != "Software")
    next(frames).save(
        file,
        "GIF",
        save_all=True,
        append_images=frames,
        duration=_FRAME_MS,
        loop=0,
        comment=comment.encode("ascii", "replace"),
    )
