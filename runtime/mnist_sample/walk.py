"""Draws a walk through latent space as a looping GIF."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Iterator
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

FRAMES_PER_STEP: Final = 32
_FRAME_MS: Final = 40
_BRIDGES: Final = 1024
"""Latents among which a pair of classes looks for the one that makes them most alike."""
_BLEND_FROM: Final = 0.3
"""The part of the way, at each end, on which a digit is of one class alone."""
_MOST_EQUAL: Final = 65_535 * 10 // _FRAME_MS
"""Pillow makes one frame of equal ones, and a GIF counts its hundredths of a second in 16 bits."""
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

    Where the class changes, the way leads over a latent at which both classes look most alike, and there
    their pictures are blended into each other.
    """
    latents = draw_latents(job.seed, job.start, job.n, job.sampler.model.latent_dim)
    latents *= np.float32(job.truncation)
    labels = job.labels(job.start, job.n)
    t = _ease(np.arange(FRAMES_PER_STEP) / FRAMES_PER_STEP)  # slow at the samples, quick between them
    bridges: dict[tuple[int, int], NDArray[np.float32]] = {}
    for at in range(job.n):
        following = (at + 1) % job.n
        start, goal = latents[at], latents[following]
        here, there = int(labels[at]), int(labels[following])
        if here == there:
            frames = _decode(job, slerp(start, goal, t), here)
        else:
            pair = (min(here, there), max(here, there))
            if pair not in bridges:
                bridges[pair] = _find_bridge(job, *pair)
            path = np.concatenate(
                [slerp(start, bridges[pair], 2 * t[t < 0.5]), slerp(bridges[pair], goal, 2 * t[t >= 0.5] - 1)]
            )
            share = _ease((t - _BLEND_FROM) / (1 - 2 * _BLEND_FROM))[:, None, None]
            blend = _decode(job, path, here) * (1 - share) + _decode(job, path, there) * share
            frames = np.rint(blend).astype(np.uint8)
        yield Samples(frames, np.full(len(t), here, np.int64))


def _decode(job: Job, latents: NDArray[np.float32], label: int) -> NDArray[np.uint8]:
    return job.sampler.decode(latents, np.full(len(latents), label, np.int64)).images


def _ease(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return smoothstep of t: 0 up to 0, 1 from 1 on, level at both ends."""
    t = t.clip(0, 1)
    return t * t * (3 - 2 * t)


def _find_bridge(job: Job, one: int, other: int) -> NDArray[np.float32]:
    """Return the latent, of many, at which the pictures of two classes differ least."""
    latents = draw_latents(job.seed, 0, _BRIDGES, job.sampler.model.latent_dim) * np.float32(job.truncation)
    apart = np.empty(_BRIDGES)
    for at in range(0, _BRIDGES, job.sampler.batch_size):
        part = slice(at, at + job.sampler.batch_size)
        difference = _decode(job, latents[part], one).astype(np.float32) - _decode(job, latents[part], other)
        apart[part] = np.square(difference).sum(axis=(1, 2))
    bridge: NDArray[np.float32] = latents[apart.argmin()]
    return bridge


def _part_equal_frames(batches: Iterable[Samples]) -> Iterator[NDArray[np.uint8]]:
    """Yield all frames; of very many equal ones in a row, as of plain digits, some a level off in a pixel."""
    before, equal = None, 0
    for frame in (frame for batch in batches for frame in batch.images):
        equal = equal + 1 if before is not None and np.array_equal(frame, before) else 1
        before = frame
        if equal <= _MOST_EQUAL:
            yield frame
            continue
        parting = frame.copy()
        parting[0, 0] ^= 1
        yield parting
        equal = 0


def write_walk(file: BinaryIO, job: Job, batches: Iterable[Samples], scale: int) -> None:
    """Write the frames as a GIF that loops without end, with how to draw it again in its comment."""
    frames = (Image.fromarray(enlarge(frame, scale)) for frame in _part_equal_frames(batches))
    facts = {**job.facts(), "index": str(job.start), "n": str(job.n), "digit": job.name_digits()}
    comment = " ".join(f"{key}={value}" for key, value in facts.items() if key != "Software")
    next(frames).save(
        file,
        "GIF",
        save_all=True,
        append_images=frames,
        duration=_FRAME_MS,
        loop=0,
        comment=comment.encode(),
    )
