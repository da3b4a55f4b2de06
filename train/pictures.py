"""Pictures of a run: sheets of digits, the curves of its losses, and how the digits formed."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from mnist_sample.files import write_atomically
from train.objectives import CURVES

FRAME_MILLISECONDS: Final = 150
LAST_FRAME_MILLISECONDS: Final = 2000
CURVE_LABELS: Final = ("real taken for real", "generated taken for generated", "generated taken for real")


def to_pixels(samples: Tensor) -> Tensor:
    """Return samples `[n, 1, 28, 28]` in [-1, 1] as uint8 images, ink 255 on paper 0."""
    return (samples.float() * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8)


def write_sheet(images: Tensor, path: Path, columns: int, scale: int = 1) -> None:
    """Write images uint8 `[n, 1, 28, 28]` as one PNG, `columns` in a row, each pixel `scale` wide."""
    grid = make_grid(images.cpu(), nrow=columns, padding=2)[0].numpy()
    picture = Image.fromarray(grid)
    if scale > 1:
        picture = picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)
    _write_picture(picture, path)


def is_whole(path: Path) -> bool:
    """Tell whether a file is a picture that can be read to its end."""
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):  # as Pillow tells damage
        return False
    return True


def write_gif(frames: Sequence[Path], path: Path) -> None:
    """Join the sheets of a run into a GIF of how its digits formed."""
    pictures = [Image.open(frame) for frame in frames]
    durations = [FRAME_MILLISECONDS] * (len(pictures) - 1) + [LAST_FRAME_MILLISECONDS]
    _write_picture(pictures[0], path, save_all=True, append_images=pictures[1:], duration=durations, loop=0)


def write_curves(metrics: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the tutorial's three curves from the lines of `metrics.jsonl`."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.subplots(ncols=2)
    steps = [line["step"] for line in metrics]
    for axis, names in ((axes[0], CURVES[:2]), (axes[1], CURVES[2:])):
        for name in names:
            label = f"{name}: {CURVE_LABELS[CURVES.index(name)]}"
            axis.plot(
                steps, [line[name] for line in metrics], label=label, marker="." if len(steps) < 3 else ""
            )
        axis.set(xlabel="step", ylabel="binary cross-entropy")
        axis.legend()
        axis.grid(alpha=0.3)
    axes[0].set_title("What the discriminator makes of both")
    axes[1].set_title("How well the generator deceives it")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_atomically(path, buffer.getvalue())


def _write_picture(
    picture: Image.Image, path: Path, **options: int | bool | Sequence[int] | Sequence[Image.Image]
) -> None:
    buffer = io.BytesIO()
    picture.save(buffer, format=path.suffix[1:], **options)
    write_atomically(path, buffer.getvalue())
