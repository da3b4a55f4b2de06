"""Models to sample from: small stand-ins, and the bundled one where it has been made."""

from __future__ import annotations

from pathlib import Path

import pytest

from mnist_sample.modelfile import BUNDLED
from mnist_sample.sampler import Sampler
from tests.runtime.standin import Standin


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="session")
def conditional(models: Path) -> Path:
    """A model of ten digits."""
    return Standin().save(models / "conditional.onnx")


@pytest.fixture(scope="session")
def unconditional(models: Path) -> Path:
    return Standin(classes=()).save(models / "unconditional.onnx")


@pytest.fixture(scope="session")
def named(models: Path) -> Path:
    """A model whose class names have several letters."""
    return Standin(classes=("cat", "dog", "élan")).save(models / "named.onnx")


@pytest.fixture(scope="session", params=["standin", "bundled"])
def any_model(request: pytest.FixtureRequest, conditional: Path) -> Path:
    return conditional if request.param == "standin" else BUNDLED


@pytest.fixture(scope="session")
def sampler(conditional: Path) -> Sampler:
    return Sampler(conditional, provider="cpu", threads=2, batch_size=16)
