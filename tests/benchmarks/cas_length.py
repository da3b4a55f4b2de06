"""Does a generator that never runs out make up for what a classifier learns less from each of its digits?

    python -m tests.benchmarks.cas_length --data ../mnist [--seeds 3] [MODEL.onnx ...]

The CAS's classifier on the real training digits, for the CAS's own passes over them and for ten, beside the
same on generated digits that are new in each pass: ten passes see 600,000 of them. A table in Markdown of
the accuracies on the real test digits, with each mean's standard error.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Annotated, Final

import typer

from mnist_sample.modelfile import BUNDLED
from tests.benchmarks.arguments import Mnist, Models, start
from tests.benchmarks.rounds import print_table
from train.evaluate.cas import CAS_CONFIG, train_and_test
from train.evaluate.comparison import mean_and_error
from train.evaluate.mnist import load_mnist
from train.evaluate.samples import open_generator
from train.evaluate.text import format_value

PASSES: Final = (CAS_CONFIG.epochs, 10)


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
            config = replace(CAS_CONFIG, epochs=passes)
            right = [train_and_test(kind, draw, real, seed, config) for seed in range(seeds)]
            digits = len(real.train_labels) * (passes if kind == "fresh" else 1)
            yield [name, f"{digits:,}", str(passes), format_value(*mean_and_error(right), plain=False)]

    print_table(["digits", "how many", "passes", "accuracy"], rows())


if __name__ == "__main__":
    start(main)
