"""The folder of a run: its checkpoints, metrics and pictures, each file whole at every moment."""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

import mnist_sample
from mnist_sample.errors import OutputError, UsageError
from mnist_sample.files import hidden_prefix, write_atomically
from models import checkpoint
from models.registry import get_architecture
from train.claim import claim
from train.config import TrainConfig
from train.data import Dataset
from train.objectives import CURVES
from train.pictures import is_whole, to_pixels, write_curves, write_gif, write_sheet
from train.report import write_report
from train.state import State, average_weights, save_state

BEGUN: Final = ("config.json", "metrics.jsonl")
"""What a run leaves first, before there is anything to save."""
WRITTEN: Final = (
    *BEGUN,
    *("gen.pt", "reals.png", "samples"),
    *("losses.png", "result.png", "forming.gif", "report.html"),
)
"""What a run leaves beside its `resume.pt`."""
PLOTTED: Final = ("step", "seconds", *CURVES)
"""What the closing pictures and the report read of each line of metrics."""
SHEET_SIZE: Final = 100
SHEET_COLUMNS: Final = 10
RESULT_SIZE: Final = 5
RESULT_SCALE: Final = 4
FIXED_LATENTS_SEED: Final = 0
SAMPLING_BATCH: Final = 500


@dataclass(frozen=True)
class Provenance:
    """What a run's files say of how it was made.

    Attributes:
        config: its settings.
        source: what `--data` finds the data by again.
        data: name of the data.
        data_sha256: digest of the data.
        seen_mnist: whether the data are MNIST itself.
        class_names: one per label; empty where unconditional.
        threads: CPU threads of each process.
        processes: how many trained together.
        versions: of the packages that decide the weights.
    """

    config: TrainConfig
    source: str
    data: str
    data_sha256: str
    seen_mnist: bool
    class_names: tuple[str, ...]
    threads: int
    processes: int
    versions: dict[str, str]

    @classmethod
    def of(cls, config: TrainConfig, data: Dataset, processes: int) -> Provenance:
        """Return what this process knows."""
        return cls(
            config=config,
            source=data.source,
            data=data.name,
            data_sha256=data.sha256,
            seen_mnist=data.seen_mnist,
            class_names=data.class_names if get_architecture(config.arch).conditional else (),
            threads=torch.get_num_threads(),
            processes=processes,
            versions={
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "numpy": np.__version__,
                "mnist_sample": mnist_sample.__version__,
            },
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "data": self.data,
            "data_sha256": self.data_sha256,
            "seen_mnist": self.seen_mnist,
            "seed": self.config.seed,
            "batch_size": self.config.batch_size,
            "lr": self.config.lr,
            "device": self.config.device,
            "threads": self.threads,
            "processes": self.processes,
            "versions": self.versions,
            "settings": self.config.as_dict(),
        }

    def as_published(self) -> dict[str, Any]:
        """Return the same for files that others get: of a path, what tells nothing of this machine."""
        settings = self.config.as_dict()
        settings["start_from"] = "/".join(Path(self.config.start_from).parts[-2:])
        return {**self.as_dict(), "settings": settings}


class MovedError(OutputError):
    """The folder went elsewhere while the run wrote into it."""


class RunFolder:
    """Writes what a run leaves behind. Any method may raise OSError, and MovedError once it is claimed."""

    def __init__(self, path: Path, provenance: Provenance) -> None:
        self.path = path
        self.provenance = provenance
        self.saved_step: int | None = None
        self.generator_step: int | None = None
        self._metrics: list[dict[str, Any]] = []
        self._place: tuple[int, int] | None = None

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keep other runs out of the folder in the block, and this one out of any other that takes its name.

        Raises:
            UsageError: another process trains there.
            OSError: the folder cannot be made or opened.
        """
        with claim(self.path):
            self._place = _identify(self.path)
            yield

    def _check_place(self) -> None:
        if self._place is not None and _identify(self.path) != self._place:
            raise MovedError(
                f"{self.path} was moved while this run wrote into it, and another folder is there now: "
                "go on with what was saved where it lies"
            )

    def is_saved(self) -> bool:
        """Tell whether there is a checkpoint to go on with."""
        return holds_run(self.path)

    def holds_generator(self, step: int) -> bool:
        """Tell whether the `gen.pt` there can be read, and is of that step of this run."""
        try:
            trained, _ = checkpoint.read(self.path / "gen.pt")
        except checkpoint.CheckpointError:
            return False
        ours = {**self.provenance.as_published(), "steps": step}
        return all(trained.training.get(name) == ours[name] for name in ("steps", "settings", "data_sha256"))

    def begin(self, data: Dataset) -> None:
        """Make a new folder with its settings and a sheet of real digits.

        Raises:
            UsageError: a file is there that this run would write, or one that saved nothing has left.
        """
        refuse_taken(self.path)
        (self.path / "samples").mkdir(parents=True, exist_ok=True)
        self._write_config()
        self._write_text("metrics.jsonl", "")
        self._draw_reals(data)

    def reopen(self, step: int, data: Dataset) -> None:
        """Take up a run that was saved at `step`: what was written after that is taken back.

        Its `resume.pt` is enough: the rest may have been left behind.
        """
        self.saved_step = step
        (self.path / "samples").mkdir(exist_ok=True)
        self._write_config()
        self._clear_half_written()
        self._metrics = [line for line in self._read_metrics() if line["step"] <= step]
        self._write_text("metrics.jsonl", "".join(json.dumps(line) + "\n" for line in self._metrics))
        for sheet in self._sheets():
            if int(sheet.stem) > step:
                sheet.unlink()
        if not is_whole(self.path / "reals.png"):
            self._draw_reals(data)

    def log(self, line: dict[str, Any]) -> None:
        """Append a line to `metrics.jsonl`."""
        self._check_place()
        self._metrics.append(line)
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def draw(self, state: State) -> None:
        """Write `samples/<step>.png` from the fixed latents."""
        self._check_place()
        images = to_pixels(generate(state, SHEET_SIZE, FIXED_LATENTS_SEED))
        write_sheet(images, self.path / "samples" / f"{state.step:06d}.png", SHEET_COLUMNS)

    def save(self, state: State) -> None:
        """Write `gen.pt` and `resume.pt`."""
        self._check_place()
        trained = checkpoint.Checkpoint(
            architecture=self.provenance.config.arch,
            config=state.model,
            class_names=self.provenance.class_names,
            weights=average_weights(state),
            training={
                **self.provenance.as_published(),
                "steps": state.step,
                "seconds": round(state.seconds, 1),
            },
        )
        write_atomically(self.path / "gen.pt", checkpoint.encode(trained))
        self.generator_step = state.step
        facts = {**self.provenance.as_dict(), "source": self.provenance.source}
        save_state(state, facts, self.path / "resume.pt")
        self.saved_step = state.step

    def finish(self, state: State) -> None:
        """Write the closing pictures and the report."""
        self._check_place()
        sheets = self._whole_sheets()
        if not sheets:
            self.draw(state)  # the GIF needs one
            sheets = self._whole_sheets()
        write_curves(self._metrics, self.path / "losses.png")
        result = to_pixels(generate(state, RESULT_SIZE, FIXED_LATENTS_SEED))
        write_sheet(result, self.path / "result.png", RESULT_SIZE, RESULT_SCALE)
        write_gif(sheets, self.path / "forming.gif")
        write_report(self.path, {**self.provenance.as_dict(), "steps": state.step}, self._metrics)

    def _sheets(self) -> list[Path]:
        sheets = (path for path in (self.path / "samples").glob("*.png") if path.stem.isdecimal())
        return sorted(sheets, key=lambda path: int(path.stem))

    def _whole_sheets(self) -> list[Path]:
        """Return the sheets that the GIF can join: one that was damaged since is no reason to do without."""
        return [sheet for sheet in self._sheets() if is_whole(sheet)]

    def _clear_half_written(self) -> None:
        """Remove what a killed run has left of the files that it was writing, and nobody else's files."""
        for name in (*WRITTEN, "resume.pt"):
            for half_written in self.path.glob(f"{hidden_prefix(name)}*.tmp"):
                half_written.unlink()
        for half_written in (self.path / "samples").glob(".[0-9]*.png.*.tmp"):
            half_written.unlink()

    def _read_metrics(self) -> list[dict[str, Any]]:
        metrics = self.path / "metrics.jsonl"
        lines = metrics.read_bytes().splitlines() if metrics.exists() else []
        return [line for content in lines if (line := _read_line(content)) is not None]

    def _draw_reals(self, data: Dataset) -> None:
        reals = torch.from_numpy(pick_reals(data)).unsqueeze(1)
        write_sheet(reals, self.path / "reals.png", SHEET_COLUMNS)

    def _write_config(self) -> None:
        self._write_text("config.json", json.dumps(self.provenance.as_dict(), indent=2) + "\n")

    def _write_text(self, name: str, text: str) -> None:
        write_atomically(self.path / name, text.encode())


def _identify(folder: Path) -> tuple[int, int]:
    found = folder.stat()
    return found.st_dev, found.st_ino


def _read_line(content: bytes) -> dict[str, Any] | None:
    """Return a line of `metrics.jsonl`; None for what a kill or a power cut has left of one."""
    try:
        line = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not line.keys() >= set(PLOTTED):
        return None
    if ("frechet" in line) != ("frechet_real" in line):
        return None
    return line if all(_is_plottable(value) for value in line.values()) else None


def _is_plottable(value: object) -> bool:
    return isinstance(value, int | float) and not abs(value) > sys.float_info.max


def holds_run(folder: Path) -> bool:
    """Tell whether a run was saved in a folder."""
    return os.path.exists(folder / "resume.pt")  # noqa: PTH110 - Path.exists fails where a name is too long


def refuse_taken(folder: Path) -> None:
    """Refuse a new run's folder where a run is, or any file that a run writes.

    Raises:
        UsageError: it is taken.
    """
    if holds_run(folder):
        raise UsageError(
            f"{folder} already holds a run: go on with it ({go_on_command(folder)}) or choose another --out"
        )
    if all(os.path.lexists(folder / name) for name in BEGUN):
        raise UsageError(
            f"{folder} holds a run that has saved nothing: if it is not going on any more, move it away, or "
            "choose another --out"
        )
    for name in WRITTEN:
        if os.path.lexists(folder / name):
            raise UsageError(f"{folder} already holds a {name}: move it away, or choose another --out")


def go_on_command(folder: Path) -> str:
    """Return the command that goes on with the run in a folder."""
    return f"python -m train --resume {shlex.quote(folder.as_posix())}"


def pick_reals(data: Dataset) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return up to `SHEET_SIZE` real digits, in columns of one class where there are labels."""
    if data.labels is None:
        return data.images[:SHEET_SIZE]
    classes = len(data.class_names)
    by_class = [np.flatnonzero(data.labels == index) for index in range(classes)]
    chosen = [by_class[i % classes][(i // classes) % len(by_class[i % classes])] for i in range(SHEET_SIZE)]
    return data.images[chosen]


@torch.inference_mode()
def generate(state: State, count: int, seed: int, labels: Tensor | None = None) -> Tensor:
    """Return `count` samples float32 `[count, 1, 28, 28]` of the averaged generator.

    The latents depend on `seed` alone, and the run's own randomness is left as it is. Where there are
    classes, `labels` int64 `[count]` are drawn; without them, the classes take turns.
    """
    device = state.sums.device
    latents = torch.randn(count, state.model.latent_dim, generator=torch.Generator().manual_seed(seed))
    inputs = [latents.to(device)]
    if state.model.classes:
        turns = torch.arange(count) % state.model.classes if labels is None else labels
        inputs.append(turns.to(device))
    batches = zip(*(torch.split(rows, SAMPLING_BATCH) for rows in inputs), strict=True)
    return torch.cat([state.average(*batch).float() for batch in batches])
