"""The classifier that ships, its statistics of real digits, and the command that makes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import torch

import train.evaluate.mnist
from mnist_sample.errors import MnistSampleError
from tests.calling import call
from tests.evaluate.standin import draw_constant, draw_digits
from train.evaluate.classifier_cli import run_command
from train.evaluate.features import CLASSIFIER_PATH, FeatureExtractor
from train.evaluate.fit import FitConfig, fit, scale
from train.evaluate.make_classifier import (
    LEAST_ACCURACY,
    export_classifier,
    make_classifier,
    measure_real,
)
from train.evaluate.mnist import RealDigits
from train.evaluate.network import NetworkConfig
from train.evaluate.quick import QuickFrechet
from train.evaluate.reference import read_reference

TINY = FitConfig(NetworkConfig(channels_14=4, channels_7=8, features=16), epochs=1, batch_size=100)


def test_the_classifier_that_ships_reads_the_test_digits(
    mnist: RealDigits, extract: FeatureExtractor
) -> None:
    features, read = extract(mnist.test_images.numpy())
    reference = read_reference(extract.sha256)
    assert np.mean(read == mnist.test_labels.numpy()) == reference.test_accuracy >= LEAST_ACCURACY
    assert QuickFrechet()(mnist.test_images.numpy()) == pytest.approx(reference.test_distance, rel=1e-3)
    assert features.shape == (10_000, len(reference.train.mean))
    assert b".py" not in CLASSIFIER_PATH.read_bytes()


def test_the_quick_distance_needs_no_mnist() -> None:
    quick, labels = QuickFrechet(), np.arange(200) % 10
    assert quick(draw_constant(labels, 0, 0)) > quick(draw_digits(labels, 0, 0)) > quick.real


def test_statistics_of_another_classifier_are_refused() -> None:
    with pytest.raises(MnistSampleError, match=r"python -m train\.evaluate\.classifier"):
        read_reference("0" * 64)


def test_the_exported_classifier_gives_what_the_network_gives(real: RealDigits) -> None:
    network = fit(lambda _epoch: (real.train_images, real.train_labels), TINY, seed=0)
    content = export_classifier(network, {"seed": 0})
    assert b".py" not in content, "places of files would make other bytes on another machine"
    exported = FeatureExtractor(content)
    # One more than fits a run.
    images = real.train_images[:501]
    with torch.inference_mode():
        logits, features = network(scale(images))
    ours, read = exported(images.numpy())
    assert ours == pytest.approx(features.numpy(), abs=1e-4)
    assert np.mean(read == logits.argmax(1).numpy()) > 0.99
    statistics = measure_real(real, exported)
    assert statistics.train.count == len(real.train_images)
    assert 0 < statistics.test_distance < 1


def test_a_poor_classifier_is_not_written(real: RealDigits, tmp_path: Path) -> None:
    shuffled = replace(real, test_labels=(real.test_labels + 1) % 10)
    with pytest.raises(MnistSampleError, match=r"99\.3% are needed, nothing was written"):
        make_classifier(shuffled, TINY, 0, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "cause"),
    [
        (["--epochs", "0"], 2, "--epochs must be 1 or more"),
        (["--seed", "x"], 2, "Invalid value for '--seed'"),
        (["--seed", "-1"], 2, "--seed must be from 0 to 2**63 - 1"),
        (["--seed", str(2**63)], 2, "--seed must be from 0 to 2**63 - 1"),
        (["--out", "none"], 2, "there is no folder none"),
        (["--data", "none"], 1, "there is no folder none"),
    ],
)
def test_what_a_user_gets_wrong_is_told_in_a_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    cause: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, run_command, *arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert cause in err
    assert len(err.splitlines()) == 1


def test_a_place_that_cannot_be_written_is_told_before_any_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def load(_source: str) -> NoReturn:
        raise AssertionError

    monkeypatch.setattr(train.evaluate.mnist, "load_mnist", load)
    (tmp_path / "reference.npz").mkdir()
    assert call(monkeypatch, run_command, "--out", tmp_path) == 1
    assert "reference.npz: it is a folder" in capsys.readouterr().err


def test_ctrl_c_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_source: str) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(train.evaluate.mnist, "load_mnist", interrupt)
    assert call(monkeypatch, run_command, "--out", tmp_path) == 130
    assert capsys.readouterr() == ("", "stopped before the classifier was made\n")
