"""Digits of a `gen.pt` or a `gen.onnx`, drawn from the same seeded latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from mnist_sample import Sampler
from mnist_sample.errors import MnistSampleError, UsageError
from mnist_sample.randomness import draw_latents
from models import checkpoint
from train.pictures import to_pixels

DIGIT_NAMES: Final = tuple("0123456789")
BATCH: Final = 500

Draw = Callable[[npt.NDArray[np.int64], int, int], npt.NDArray[np.uint8]]
"""Labels int64 `[n]`, seed and index of the first sample -> images uint8 `[n, 28, 28]`."""


@dataclass(frozen=True)
class Generator:
    """A generator file, opened.

    Attributes:
        path: the file.
        sha256: of the file, in lower-case hex.
        conditional: whether it draws the digit that is asked for; if not, `draw` looks only at how many
            labels there are.
        draw: makes digits.
    """

    path: Path
    sha256: str
    conditional: bool
    draw: Draw


def open_generator(path: Path) -> Generator:
    """Open a `gen.pt` or a `gen.onnx`; the suffix decides.

    Raises:
        UsageError: another suffix.
        MnistSampleError: the file is missing or damaged, or draws other classes than the ten digits.
    """
    if path.suffix == ".pt":
        generator, names = _open_checkpoint(path)
    elif path.suffix == ".onnx":
        generator, names = _open_onnx(path)
    else:
        raise UsageError(f"{path} is neither a .pt nor a .onnx file")
    if generator.conditional and names != DIGIT_NAMES:
        raise MnistSampleError(
            f"{path} draws {len(names)} classes ({', '.join(names[:10])}), not the ten digits 0 to 9: "
            "its digits cannot be compared with MNIST's"
        )
    return generator


def _open_checkpoint(path: Path) -> tuple[Generator, tuple[str, ...]]:
    try:
        trained, sha256 = checkpoint.read(path)
        network = trained.build_generator()
    except checkpoint.CheckpointError as error:
        raise MnistSampleError(str(error)) from error
    latent_dim = trained.config.latent_dim
    conditional = bool(trained.class_names)

    def draw(labels: npt.NDArray[np.int64], seed: int, start: int) -> npt.NDArray[np.uint8]:
        images = np.empty((len(labels), 28, 28), np.uint8)
        for first in range(0, len(labels), BATCH):
            asked = torch.from_numpy(labels[first : first + BATCH])
            latents = torch.from_numpy(draw_latents(seed, start + first, len(asked), latent_dim))
            with torch.inference_mode():
                sample = network(latents, asked) if conditional else network(latents)
            if not sample.isfinite().all():
                raise MnistSampleError(f"{path} makes pixels that are no numbers: train it again")
            images[first : first + BATCH] = to_pixels(sample).squeeze(1).numpy()
        return images

    return Generator(path, sha256, conditional, draw), trained.class_names


def _open_onnx(path: Path) -> tuple[Generator, tuple[str, ...]]:
    sampler = Sampler(path, provider="cpu")
    conditional = bool(sampler.model.classes)

    def draw(labels: npt.NDArray[np.int64], seed: int, start: int) -> npt.NDArray[np.uint8]:
        wanted = labels if conditional else None
        return sampler.sample(len(labels), labels=wanted, seed=seed, start=start).images

    return Generator(path, sampler.model.sha256, conditional, draw), sampler.model.classes
