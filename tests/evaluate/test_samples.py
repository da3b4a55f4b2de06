"""Digits of generator files: which files are taken, and what they draw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mnist_sample.errors import MnistSampleError, UsageError
from models.checkpoint import encode
from tests.export.exported import build
from tests.models.checkpoints import make_checkpoint
from train.evaluate.samples import open_generator

LABELS = np.arange(12, dtype=np.int64) % 10


@pytest.fixture(scope="module")
def gen_pt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("generator") / "gen.pt"
    path.write_bytes(encode(make_checkpoint()))
    return path


def test_a_digit_is_named_by_seed_and_index(gen_pt: Path) -> None:
    draw = open_generator(gen_pt).draw
    together, alone, other = draw(LABELS, 5, 0), draw(LABELS[7:8], 5, 7), draw(LABELS, 6, 0)
    assert np.abs(together[7:8].astype(int) - alone).max() <= 1
    assert not np.array_equal(together, other)


def test_the_exported_file_draws_the_same_digits(gen_pt: Path) -> None:
    gen_onnx = gen_pt.with_name("gen.onnx")
    gen_onnx.write_bytes(build(make_checkpoint()).content)
    ours, theirs = open_generator(gen_pt), open_generator(gen_onnx)
    assert ours.conditional
    assert theirs.conditional
    drawn = [one.draw(LABELS, 3, 4).astype(int) for one in (ours, theirs)]
    assert np.abs(drawn[0] - drawn[1]).max() <= 1


def test_an_unconditional_generator_is_known_as_one(tmp_path: Path) -> None:
    path = tmp_path / "gen.pt"
    path.write_bytes(encode(make_checkpoint("tutorial")))
    generator = open_generator(path)
    assert not generator.conditional
    assert generator.draw(LABELS, 0, 0).shape == (12, 28, 28)


def test_a_generator_that_overflows_is_not_taken_for_a_black_one(tmp_path: Path) -> None:
    checkpoint = make_checkpoint()
    checkpoint.weights["spread.weight"].fill_(3e38)
    path = tmp_path / "gen.pt"
    path.write_bytes(encode(checkpoint))
    with pytest.raises(MnistSampleError, match=r"gen\.pt makes pixels that are no numbers: train it again"):
        open_generator(path).draw(LABELS, 0, 0)


def test_another_suffix_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"neither a \.pt nor a \.onnx"):
        open_generator(tmp_path / "gen.h5")


@pytest.mark.parametrize("name", ["gen.pt", "gen.onnx"])
@pytest.mark.parametrize("content", [None, b"", b"no generator"])
def test_a_file_that_is_no_generator_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(MnistSampleError, match=name):
        open_generator(tmp_path / name)


def test_other_classes_than_the_ten_digits_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "gen.pt"
    path.write_bytes(encode(replace(make_checkpoint(), class_names=tuple("abcdefghij"))))
    with pytest.raises(MnistSampleError, match="not the ten digits"):
        open_generator(path)
