"""Does a generator that never runs out make up for what a classifier learns less from each of its digits?

    python -m tests.benchmarks.cas_length --data ../mnist [--seeds 3] [MODEL.onnx ...]

The CAS's classifier on the real training digits, for the CAS's own passes over them and for ten, beside the
same on generated digits that are new in each pass: ten passes see 600,000 of them. A table in Markdown of
the accuracies on the real test digits, with each mean's standard error.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Annotated, Final

import typer

from mnist_sample.modelfile import BUNDLED
from tests.benchmarks.arguments import Mnist, Models
from tests.benchmarks.rounds import print_table
from train.evaluate.cas import CAS_CONFIG, make_source
from train.evaluate.fit import accuracy, fit
from train.evaluate.mnist import RealDigits, load_mnist
from train.evaluate.samples import Draw, open_generator

PASSES: Final = (CAS_CONFIG.epochs, 10)


def train(kind: str, draw: Draw, real: RealDigits, passes: int, seeds: int) -> list[float]:
    """Return the accuracies of so many classifiers, each from its own seed."""
    config = replace(CAS_CONFIG, epochs=passes)
    networks = (fit(make_source(kind, draw, real, seed), config, seed) for seed in range(seeds))
    return [accuracy(network, real.test_images, real.test_labels) for network in networks]


def main(
    models: Models = None,
    data: Mnist = "auto",
    seeds: Annotated[int, typer.Option(min=2, help="Trainings of each case.")] = 3,
) -> None:
    """Print what the CAS's classifier makes of more training, on real and on generated digits."""
    real = load_mnist(data)
    draws = {str(model): open_generator(model).draw for model in models or [BUNDLED]}
    cases = [("real digits", "real", next(iter(draws.values())))]
    cases += [(model, "fresh", draw) for model, draw in draws.items()]

    def rows() -> Iterator[list[str]]:
        for (name, kind, draw), passes in product(cases, PASSES):
            right = train(kind, draw, real, passes, seeds)
            error = statistics.stdev(right) / seeds**0.5
            digits = len(real.train_labels) * (passes if kind == "fresh" else 1)
            yield [name, f"{digits:,}", str(passes), f"{statistics.mean(right):.2%} ± {100 * error:.2f}"]

    print_table(["digits", "how many", "passes", "accuracy"], rows())


if __name__ == "__main__":
    typer.run(main)
