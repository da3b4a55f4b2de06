"""Digits to measure: a small made-up set that behaves like MNIST, and MNIST where it is at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.evaluate.standin import draw_digits
from train.evaluate.evaluation import Evaluation, evaluate
from train.evaluate.features import FeatureExtractor
from train.evaluate.mnist import RealDigits, load_mnist
from train.evaluate.samples import Draw, Generator
from train.evaluate.settings import Settings


@pytest.fixture(scope="session")
def extract() -> FeatureExtractor:
    return FeatureExtractor()


@pytest.fixture(scope="session")
def real() -> RealDigits:
    """2,000 training and 400 test digits of the made-up kind."""
    labels = torch.arange(2400) % 10
    images = torch.from_numpy(draw_digits(labels.numpy(), 77, 0))
    return RealDigits(images[:2000], labels[:2000], images[2000:], labels[2000:])


@pytest.fixture(scope="session")
def mnist_dir() -> str:
    if "MNIST_DIR" not in os.environ:
        pytest.skip("MNIST_DIR does not name a folder of MNIST's files")
    return os.environ["MNIST_DIR"]


@pytest.fixture(scope="session")
def mnist(mnist_dir: str) -> RealDigits:
    return load_mnist(mnist_dir)


@pytest.fixture(scope="session")
def measure(real: RealDigits) -> Callable[..., Evaluation]:
    """Evaluate a way to draw digits against the made-up ones."""

    def run(draw: Draw, conditional: bool = True, digits: int = 400, seeds: int = 1) -> Evaluation:
        generator = Generator(Path("gen.pt"), "ab" * 32, conditional, draw)
        return evaluate(generator, real, Settings(digits, seeds), lambda *_: None)

    return run


@pytest.fixture(scope="session")
def fresh(measure: Callable[..., Evaluation]) -> Evaluation:
    """The evaluation of a perfect generator: a fresh draw of the same digits."""
    return measure(draw_digits)
