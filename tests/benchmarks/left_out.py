"""How good could digits be? Training digits that were left out, measured as generated ones are.

    python -m tests.benchmarks.left_out --data ../mnist [--folds 3] [MODEL]

MNIST's test digits are by other writers than its training digits, and generators learn from the latter. So
10,000 training digits at a time are left out and measured against the other 50,000, by a classifier that was
trained on these alone, beside as many generated digits with the same labels and beside the test digits. A
table in Markdown: means over the folds with their standard errors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final

import numpy as np
import typer

from mnist_sample.modelfile import BUNDLED
from tests.benchmarks.arguments import Mnist, Model, start
from tests.benchmarks.rounds import print_table
from train.evaluate.comparison import compare, mean_and_error
from train.evaluate.features import FeatureExtractor
from train.evaluate.fit import FitConfig, fit
from train.evaluate.make_classifier import export_classifier
from train.evaluate.measures import Yardstick
from train.evaluate.mnist import RealDigits, load_mnist
from train.evaluate.samples import Draw, open_generator
from train.evaluate.text import PLAIN, format_value

FOLD: Final = 10_000
SEED: Final = 1
"""Decides which digits make a fold."""


def measure_fold(real: RealDigits, draw: Draw, fold: int) -> dict[str, tuple[float, float, float]]:
    """Return each figure of a fold's left-out digits, of generated ones and of the test digits."""
    order = np.random.Generator(np.random.PCG64(SEED)).permutation(len(real.train_labels))
    out = np.isin(np.arange(len(order)), order[fold * FOLD : (fold + 1) * FOLD])
    kept = replace(real, train_images=real.train_images[~out], train_labels=real.train_labels[~out])
    classifier = fit(lambda _epoch: (kept.train_images, kept.train_labels), FitConfig(), fold)
    yardstick = Yardstick(kept, FeatureExtractor(export_classifier(classifier, {})))
    labels = real.train_labels[out].numpy()
    test = yardstick.measure(real.test_images.numpy(), real.test_labels.numpy())
    left_out = yardstick.measure(real.train_images[out].numpy(), labels)
    generated = yardstick.measure(draw(labels, fold, 0), labels)
    pairs = zip(compare([left_out], test), compare([generated], test), strict=True)
    return {left.name: (left.generated, drawn.generated, left.real) for left, drawn in pairs}


def main(
    model: Model = None,
    data: Mnist = "auto",
    folds: Annotated[int, typer.Option(min=2, max=6, help="How many times digits are left out.")] = 3,
) -> None:
    """Print the figures of left-out training digits, generated digits and test digits."""
    real = load_mnist(data)
    draw = open_generator(model or BUNDLED).draw
    measured = [measure_fold(real, draw, fold) for fold in range(folds)]
    rows = []
    for name in measured[0]:
        columns = zip(*(fold[name] for fold in measured), strict=True)
        rows.append([name, *(format_value(*mean_and_error(column), name in PLAIN) for column in columns)])
    print_table(["", "left-out training digits", "generated digits", "test digits"], rows)


if __name__ == "__main__":
    start(main)
