"""The way from the tutorial to the shipped generator, one change a rung: what is each worth?

    python -m tests.benchmarks.train_ladder --data ../mnist [--steps 1407] [--seeds 2]

Every rung trains for the same number of steps at batch size 128 and is measured by the project's evaluation.
A rung that is already in the folder `--out` is not trained again, so that a table can grow.
"""

from __future__ import annotations

import json
import shutil
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import torch
import typer

from mnist_sample.randomness import draw_latents
from models import checkpoint
from models.untrusted import load_plain
from train.evaluate.features import FeatureExtractor
from train.evaluate.measures import Yardstick
from train.evaluate.mnist import load_mnist
from train.evaluate.samples import Draw, open_generator
from train.idx import find_idx
from train.pictures import to_pixels
from train.session import Request, run

FIGURES: Final = ("Frechet distance", "label accuracy", "precision", "recall", "density", "coverage")
TUTORIAL_BATCH: Final = 64
"""Digits that share one batch's statistics where a rung samples in training mode."""


@dataclass(frozen=True)
class Rung:
    """One row of the table.

    Attributes:
        change: what is new, in a reader's words.
        settings: fields of `TrainConfig` that were given.
        labelled: whether the run sees the labels.
        weights: `average` (EMA), or `last`, the last step's.
        train_mode: sample as the tutorial does, each digit normalised with its batch mates.
        trained_by: the rung whose training this one shares; empty for its own.
    """

    change: str
    settings: dict[str, Any] = field(default_factory=dict)
    labelled: bool = True
    weights: str = "average"
    train_mode: bool = False
    trained_by: str = ""


PLAIN: Final = {
    "objective": "bce",
    "estimate": False,
    "lr": 5e-4,
    "lr_end": 0.1,
    "beta1": 0.5,
    "beta2": 0.999,
    "clip": 0.0,
}
PENALISED: Final = PLAIN | {"objective": "relativistic"}
LADDER: Final = {
    "printed": Rung(
        "the tutorial as printed: Adam, lr 0.01, sampled in training mode",
        {"arch": "tutorial", "lr": 0.01},
        weights="last",
        train_mode=True,
    ),
    "works": Rung(
        "settings that work: lr 5e-4 decaying, and no BatchNorm on the logits",
        {"arch": "tutorial"},
        weights="last",
        train_mode=True,
    ),
    "mode": Rung("sampled in evaluation mode", weights="last", trained_by="works"),
    "average": Rung("averaged weights (EMA)", trained_by="works"),
    "layers": Rung("the `digits` pair: dense G, D without normalisation", PLAIN, labelled=False),
    "objective": Rung("relativistic loss with R1 and R2", PENALISED, labelled=False),
    "conditioning": Rung("class-conditional G and D", PENALISED),
    "rates": Rung("lr 2e-3 that falls to 0, Adam's betas 0 and 0.99", {"estimate": False, "clip": 0.0}),
    "estimate": Rung("penalties estimated from noise", {"clip": 0.0}),
    "clip": Rung("gradients clipped at twice their usual norm: the default settings, but for the length"),
    "memory": Rung("tried from there and left out: Adam's second beta 0.999", {"beta2": 0.999}),
    "slow": Rung("tried and left out: lr 1e-3", {"lr": 1e-3}),
    "ratio": Rung("tried and left out: G's rate twice D's", {"lr_ratio": 2.0}),
    "shift": Rung("tried and left out: D's view moved by up to a pixel", {"shift": 1}),
}


def train_rung(name: str, rung: Rung, data: Path, steps: int, seed: int, out: Path) -> Path:
    """Train a rung's run, unless it is there already, and return its folder."""
    folder = out / f"{rung.trained_by or name}-{seed}"
    if not (folder / "result.png").exists():
        if folder.exists():
            shutil.rmtree(folder)
        settings = {"batch_size": 128, "steps": steps, "seed": seed, "device": "cpu", **rung.settings}
        run(Request(str(data), folder, None, settings))
    return folder


def hide_labels(data: Path, out: Path) -> Path:
    """Return a folder with MNIST's training images and no labels."""
    folder = out / "unlabelled"
    folder.mkdir(parents=True, exist_ok=True)
    images = find_idx(data, "train-images-idx3-ubyte")
    assert images is not None
    link = folder / images.name
    if not link.exists():
        link.symlink_to(images.resolve())
    return folder


def draw_from(folder: Path, rung: Rung) -> Draw:
    """Return what draws a rung's digits."""
    if rung.weights == "average":
        return open_generator(folder / "gen.pt").draw
    network = checkpoint.read(folder / "gen.pt")[0].build_generator()
    network.load_state_dict(load_plain((folder / "resume.pt").read_bytes())["generator"])
    network.train(rung.train_mode)

    def draw(labels: npt.NDArray[np.int64], seed: int, start: int) -> npt.NDArray[np.uint8]:
        latents = torch.from_numpy(draw_latents(seed, start, len(labels), 100))
        with torch.no_grad():
            return np.concatenate(
                [to_pixels(network(part)).squeeze(1).numpy() for part in latents.split(TUTORIAL_BATCH)]
            )

    return draw


def main(
    data: Annotated[Path, typer.Option(help="Folder of MNIST's IDX files.")],
    steps: Annotated[int, typer.Option(help="Length of each rung.")] = 1407,
    seeds: Annotated[int, typer.Option(help="Trainings of each rung.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs/ladder"),
) -> None:
    """Train all rungs, measure them, and print the table in Markdown."""
    real = load_mnist(str(data))
    yardstick = Yardstick(real, FeatureExtractor())
    asked = real.test_labels.numpy()
    print(f"| change | {' | '.join(FIGURES)} | seconds |\n|{' --- |' * (len(FIGURES) + 2)}", flush=True)
    for name, rung in LADDER.items():
        source = data if rung.labelled else hide_labels(data, out)
        rows, seconds = [], []
        for seed in range(seeds):
            folder = train_rung(name, rung, source, steps, seed, out)
            conditional = bool(checkpoint.read(folder / "gen.pt")[0].class_names)
            images = draw_from(folder, rung)(asked, seed, 0)
            rows.append(yardstick.measure(images, asked if conditional else None).values)
            last = (folder / "metrics.jsonl").read_text().splitlines()[-1]
            seconds.append(json.loads(last)["seconds"])
        cells = [
            "; ".join(f"{row[figure].value:.3g}" if figure in row else "-" for row in rows)
            for figure in FIGURES
        ]
        print(f"| {rung.change} | {' | '.join(cells)} | {statistics.mean(seconds):.0f} |", flush=True)


if __name__ == "__main__":
    typer.run(main)
