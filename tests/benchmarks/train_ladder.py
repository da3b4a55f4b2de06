"""The way from the tutorial to the shipped generator, one change a rung: what is each worth?

    python -m tests.benchmarks.train_ladder --data ../mnist [--table ladder|tried|widths] [--steps 1407]

Three tables: the ladder, what was tried on its rung `settle` and left out, and generators of other shapes
(whose figures `python -m tests.benchmarks.generator_speed --quality` sets beside their speed). Every rung
trains for the same number of steps of 128 digits, with the same learning rate for both networks, unless it
names another, and is measured by the project's evaluation. A rung that the folder `--out` already holds,
trained with the same settings, is not trained again, so that a table can grow. The tables are also kept there
as JSON.
"""

from __future__ import annotations

import json
import shutil
import statistics
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
import torch
import typer

from mnist_sample.randomness import draw_latents
from models import checkpoint
from models.digits import DigitsConfig, DigitsDiscriminator
from models.registry import ARCHITECTURES, Architecture
from models.untrusted import load_plain
from tests.benchmarks.arguments import start
from tests.benchmarks.generator_speed import SHAPES, name_shape
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
        generator: fields of `DigitsConfig` that differ from the defaults.
        discriminator: arguments of `DigitsDiscriminator` that differ from the defaults.
    """

    change: str
    settings: dict[str, Any] = field(default_factory=dict)
    labelled: bool = True
    weights: str = "average"
    train_mode: bool = False
    trained_by: str = ""
    generator: dict[str, int] = field(default_factory=dict)
    discriminator: dict[str, int] = field(default_factory=dict)

    def architecture(self) -> Architecture:
        """Return the `digits` pair in this rung's shape."""
        return replace(
            ARCHITECTURES["digits"],
            config=lambda classes: DigitsConfig(classes=classes, **self.generator),
            discriminator=lambda config, width: DigitsDiscriminator(
                config.classes, width=width, **self.discriminator
            ),
        )


Row = dict[str, float]
"""A training's figures, by name, and its seconds."""
LARGER: Final = {"channels_14": 32, "channels_7": 64}
PLAIN: Final = {
    "objective": "bce",
    "estimate": False,
    "lr": 5e-4,
    "lr_end": 0.1,
    "beta1": 0.5,
    "beta2": 0.999,
    "clip": 0.0,
    "settle": 1.0,
}
PENALISED: Final = PLAIN | {"objective": "relativistic", "gamma": 1.0}
FAST: Final = {"estimate": False, "clip": 0.0, "gamma": 1.0, "settle": 1.0}
LADDER: Final = {
    "printed": Rung(
        "the tutorial as printed: Adam, lr 0.01, sampled in training mode",
        {"arch": "tutorial", "lr": 0.01},
        weights="last",
        train_mode=True,
    ),
    "works": Rung(
        "settings that work: lr 5e-4 decaying, and BatchNorm on the logits held at its initial statistics",
        {"arch": "tutorial"},
        weights="last",
        train_mode=True,
    ),
    "mode": Rung("sampled in evaluation mode", weights="last", trained_by="works"),
    "average": Rung("averaged weights (EMA)", trained_by="works"),
    "layers": Rung(
        "the `digits` pair: dense G, D without normalisation", PLAIN, labelled=False, discriminator=LARGER
    ),
    "objective": Rung("relativistic loss with R1 and R2", PENALISED, labelled=False, discriminator=LARGER),
    "conditioning": Rung("class-conditional G and D", PENALISED, discriminator=LARGER),
    "rates": Rung("lr 2e-3 decaying to 0, Adam's betas 0 and 0.99", FAST, discriminator=LARGER),
    "estimate": Rung(
        "penalties estimated from noise",
        FAST | {"estimate": True, "penalty_every": 1},
        discriminator=LARGER,
    ),
    "clip": Rung(
        "gradients clipped at twice their usual norm",
        {"penalty_every": 1, "gamma": 1.0, "settle": 1.0},
        discriminator=LARGER,
    ),
    "fourth": Rung("penalties from every fourth digit", {"gamma": 1.0, "settle": 1.0}, discriminator=LARGER),
    "small": Rung("a smaller D, of half the arithmetic", {"gamma": 1.0, "settle": 1.0}),
    "gamma": Rung("penalties of weight 0.1, not 1", {"settle": 1.0}),
    "settle": Rung("G's BatchNorm settled from halfway on"),
    "length": Rung("three times as many steps", {"steps": 3 * 1407}),
    "variety": Rung(
        "batches of 256, and G's rate three times D's: the default settings, but for the length",
        {"steps": 3 * 1407, "batch_size": 256, "lr_ratio": 3.0},
    ),
}
TRIED: Final = {
    "settle": LADDER["settle"],
    "larger": Rung("a D of twice the arithmetic", discriminator=LARGER),
    "smaller": Rung("a D of half the width", discriminator={"channels_14": 8, "channels_7": 24}),
    "lighter": Rung("penalties of weight 0.03", {"gamma": 0.03}),
    "heavier": Rung("penalties of weight 0.3", {"gamma": 0.3}),
    "slow": Rung("lr 1e-3", {"lr": 1e-3}),
    "constant": Rung("constant lr", {"lr_end": 1.0}),
    "ratio": Rung("G's rate twice D's", {"lr_ratio": 2.0}),
    "memory": Rung("Adam's second beta 0.999", {"beta2": 0.999}),
    "average": Rung("EMA of 0.99", {"ema": 0.99}),
    "batch": Rung("batches of 256", {"batch_size": 256}),
    "latent": Rung("128 latent dimensions", generator={"latent_dim": 128}),
    "shift": Rung("D's images shifted by up to a pixel", {"shift": 1}),
    "entropy": Rung("entropy of weight 0.01 in G's loss", {"entropy": 0.01}),
    "legible": Rung("a class that D reads, of weight 0.1", {"legible": 0.1}),
    "both": Rung("both of these", {"entropy": 0.01, "legible": 0.1}),
    "spread": Rung(
        "both, and latents of deviation 0.98", {"entropy": 0.01, "legible": 0.1, "latent_std": 0.98}
    ),
}
WIDTHS: Final = {name_shape(shape): Rung("", generator=shape) for shape in SHAPES}
TABLES: Final = {"ladder": LADDER, "tried": TRIED, "widths": WIDTHS}


def train_rung(name: str, rung: Rung, data: Path, steps: int, seed: int, out: Path) -> Path:
    """Train a rung's run, unless it is there already, and return its folder."""
    folder = out / f"{rung.trained_by or name}-{seed}"
    settings = {
        "batch_size": 128,
        "lr_ratio": 1.0,
        "steps": steps,
        "seed": seed,
        "device": "cpu",
        **rung.settings,
    }
    if not is_trained(folder, settings):
        if folder.exists():
            shutil.rmtree(folder)
        with patch.dict(ARCHITECTURES, digits=rung.architecture()):
            run(Request(str(data), folder, None, settings))
    return folder


def is_trained(folder: Path, settings: dict[str, Any]) -> bool:
    """Tell whether a folder holds a finished run with these settings."""
    if not (folder / "result.png").exists():
        return False
    trained = json.loads((folder / "config.json").read_text())["settings"]
    return all(trained.get(name) == value for name, value in settings.items())


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


def measure_rung(folder: Path, rung: Rung, asked: npt.NDArray[np.int64], yardstick: Yardstick) -> Row:
    """Return a trained rung's figures, and the seconds that its training took."""
    conditional = bool(checkpoint.read(folder / "gen.pt")[0].class_names)
    images = draw_from(folder, rung)(asked, 0, 0)
    values = yardstick.measure(images, asked if conditional else None).values
    last = json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])
    return {name: values[name].value for name in FIGURES if name in values} | {"seconds": last["seconds"]}


def describe_rung(title: str, rows: list[Row]) -> str:
    """Return a line of the table: the figures of each seed, and the mean of their seconds."""
    cells = ["; ".join(f"{row[name]:.3g}" if name in row else "-" for row in rows) for name in FIGURES]
    return f"| {title} | {' | '.join(cells)} | {statistics.mean(row['seconds'] for row in rows):.0f} |"


def main(
    data: Annotated[Path, typer.Option(help="Folder of MNIST's IDX files.")],
    table: Annotated[str, typer.Option(help=f"One of {', '.join(TABLES)}.")] = "ladder",
    steps: Annotated[int, typer.Option(help="Length of each rung.")] = 1407,
    seeds: Annotated[int, typer.Option(help="Trainings of each rung.")] = 1,
    out: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs/ladder"),
) -> None:
    """Train all rungs of a table, measure them, and print them in Markdown."""
    if table not in TABLES:
        raise typer.BadParameter(f"{table} is unknown; there are {', '.join(TABLES)}", param_hint="--table")
    real = load_mnist(str(data))
    yardstick = Yardstick(real, FeatureExtractor())
    asked = real.test_labels.numpy()
    print(f"| change | {' | '.join(FIGURES)} | seconds |\n|{' --- |' * (len(FIGURES) + 2)}", flush=True)
    results = {}
    for name, rung in TABLES[table].items():
        source = data if rung.labelled else hide_labels(data, out)
        folders = [train_rung(name, rung, source, steps, seed, out) for seed in range(seeds)]
        results[name] = [measure_rung(folder, rung, asked, yardstick) for folder in folders]
        print(describe_rung(rung.change or name, results[name]), flush=True)
        (out / f"{table}.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    start(main)
