"""One request to the command, and what the outputs need to know of it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mnist_sample.labels import LabelSource
    from mnist_sample.sampler import Sampler, Samples

Format = Literal["png", "folder", "npz", "npy", "idx", "gif"]


@dataclass(frozen=True)
class Request:
    """What the user typed; None where an option was left out that has no default of its own.

    Attributes:
        n: number of digits.
        provider: where to run.
        model: path of a model file; None for the bundled one.
        digits: classes to draw, over and over.
        seed: 0 to 2**64 - 1.
        start: index of the first sample.
        out: path, or `-` for stdout.
        format: what to write, where `out` does not tell.
        truncation: factor on the latents, 0 to 2.
        batch_size: samples made at a time by each thread.
        threads: batches made at a time.
        columns: digits per row of a sheet.
        scale: pixels per pixel of the 28 x 28.
        show: whether to draw in the terminal; None means where stdout is one.
        quiet: whether to say nothing but errors.
    """

    n: int | None = None
    provider: Literal["auto", "cuda", "cpu"] = "auto"
    model: Path | None = None
    digits: str | None = None
    seed: int = 0
    start: int = 0
    out: str = "digits.png"
    format: str | None = None
    truncation: float = 1.0
    batch_size: int | None = None
    threads: int | None = None
    columns: int | None = None
    scale: int | None = None
    show: bool | None = None
    quiet: bool = False


@dataclass(frozen=True)
class Job:
    """Samples to draw, and the facts by which they can be drawn again.

    Attributes:
        sampler: draws them.
        n: number of samples, 1 or more.
        seed: 0 to 2**64 - 1.
        start: index of the first sample.
        truncation: factor on the latents.
        labels: the classes by index.
        digits: what `--digits` asked for, if anything.
    """

    sampler: Sampler
    n: int
    seed: int
    start: int
    truncation: float
    labels: LabelSource = field(repr=False)
    digits: str | None = None

    def draw(self, start: int | None = None, n: int | None = None) -> Generator[Samples]:
        """Yield the samples batch by batch; those of another range if one is given."""
        first = self.start if start is None else start
        count = self.n if n is None else n
        return self.sampler.stream_from(self.labels, count, self.seed, first, self.truncation)

    def name_class(self, label: int) -> str:
        """Return the class name of a label; empty for an unconditional model's -1."""
        return self.sampler.model.classes[label] if label >= 0 else ""

    def name_digits(self) -> str:
        """Return the class names of all samples in their order; empty where there are none."""
        names = [self.name_class(label) for label in self.labels(self.start, self.n).tolist()]
        return ("" if all(len(name) <= 1 for name in names) else ",").join(names)

    def facts(self) -> dict[str, str]:
        """Return what all samples of the job share, as text."""
        from mnist_sample import __version__

        facts = {
            "Software": f"mnist-sample {__version__}",
            "seed": str(self.seed),
            "truncation": repr(self.truncation),
            "provider": self.sampler.provider,
            "model_sha256": self.sampler.model.sha256,
        }
        return facts if self.digits is None else {**facts, "digits": self.digits}
