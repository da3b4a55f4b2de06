"""Evaluates a generator: draws digits, measures them and the real test digits, and puts both together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mnist_sample.errors import UsageError
from train.evaluate.cas import KINDS as CAS_KINDS
from train.evaluate.cas import CasResult, measure_cas
from train.evaluate.comparison import Figure, compare, compare_cas
from train.evaluate.features import FeatureExtractor
from train.evaluate.measures import Measured, Yardstick
from train.evaluate.mnist import RealDigits
from train.evaluate.samples import Generator
from train.evaluate.settings import Settings

CHOICE_SEED: Final = 0
"""Decides which real test digits stand beside fewer than 10,000 generated ones."""

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all)."""


@dataclass(frozen=True)
class Evaluation:
    """The figures of a generator and what they were taken from.

    Attributes:
        generator: the file.
        settings: how it was evaluated.
        classifier_sha256: of the classifier's ONNX file.
        classifier_accuracy: share of the real test digits measured that it reads as their label.
        figures: each beside the real test digits' own.
        labels: int64 `[n]`, of the real test digits; a conditional generator was asked for the same.
        draws: what was measured on each draw of generated digits.
        real: what was measured on real test digits.
        cas: the accuracies behind the classification accuracy score, where it was taken.
    """

    generator: Generator
    settings: Settings
    classifier_sha256: str
    classifier_accuracy: float
    figures: list[Figure]
    labels: npt.NDArray[np.int64]
    draws: list[Measured]
    real: Measured
    cas: CasResult | None

    @property
    def asked(self) -> npt.NDArray[np.int64] | None:
        """The digits that were asked for, int64 `[n]`; None of an unconditional generator."""
        return self.labels if self.generator.conditional else None


def evaluate(generator: Generator, real: RealDigits, settings: Settings, progress: Progress) -> Evaluation:
    """Measure a generator.

    A conditional generator is asked for the labels of the real test digits that stand beside its own, so
    that both sets have the same mix of classes.

    Raises:
        UsageError: the classification accuracy score of an unconditional generator was asked for.
    """
    if settings.cas and not generator.conditional:
        raise UsageError(f"--cas: {generator.path} draws digits without labels, which a classifier needs")
    extract = FeatureExtractor()
    before_cas = 2 + settings.seeds
    steps = before_cas + (len(CAS_KINDS) * settings.seeds if settings.cas else 0)
    progress(0, steps)
    yardstick = Yardstick(real, extract)
    images, labels = _choose_test_digits(real, settings.digits)
    asked = labels if generator.conditional else None
    progress(1, steps)
    measured = yardstick.measure(images, asked)
    draws = []
    for seed in range(settings.seeds):
        progress(2 + seed, steps)
        draws.append(yardstick.measure(generator.draw(labels, seed, 0), asked))
    cas = None
    if settings.cas:
        cas = measure_cas(
            generator.draw, real, settings.seeds, lambda done: progress(before_cas + done, steps)
        )
    return Evaluation(
        generator=generator,
        settings=settings,
        classifier_sha256=extract.sha256,
        classifier_accuracy=float(np.mean(measured.read == labels)),
        figures=compare(draws, measured) + (compare_cas(cas) if cas else []),
        labels=labels,
        draws=draws,
        real=measured,
        cas=cas,
    )


def _choose_test_digits(real: RealDigits, count: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return `count` test digits with their labels, all of them or always the same choice.

    The test set's second half was written by other people than its first, so a choice takes from all of it.
    """
    images, labels = real.test_images.numpy(), real.test_labels.numpy()
    order = np.random.Generator(np.random.PCG64(CHOICE_SEED)).permutation(len(images))
    chosen = np.sort(order[:count])
    return images[chosen], labels[chosen]
