"""The Python interface: labels, truncation, streams, and what is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mnist_sample
from mnist_sample import contract
from mnist_sample.errors import UsageError
from mnist_sample.randomness import MAX_INDEX, draw_latents
from mnist_sample.sampler import Sampler, Samples
from mnist_sample.session import run_graph
from mnist_sample.walk import slerp


def test_the_package_offers_the_sampler() -> None:
    assert mnist_sample.Sampler is Sampler
    assert mnist_sample.Samples is Samples
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        _ = vars(mnist_sample)["__getattr__"]("Trainer")
    program = "import mnist_sample; print('Sampler' in dir(mnist_sample))"  # before it is loaded
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"


@pytest.mark.parametrize(
    ("latents", "labels", "words"),
    [
        (np.zeros((2, 8)), np.zeros(2, np.int64), r"latents are float64 \[2, 8\]: use float32 \[2, 8\]"),
        (np.zeros((2, 7), np.float32), np.zeros(2, np.int64), r"use float32 \[2, 8\]"),
        (np.zeros((2, 8), np.float32), np.zeros(3, np.int64), r"use float32 \[3, 8\]"),
        (np.zeros((2, 8), np.float32), np.array([0, -1]), "use 0 to 9"),
        (np.zeros((2, 8), np.float32), np.array([10, 0]), "use 0 to 9"),
        (np.zeros((2, 8), np.float32), np.zeros(2, np.int32), "no int64 class indices"),
    ],
)
def test_only_latents_and_labels_of_the_model_are_decoded(
    sampler: Sampler, latents: Any, labels: Any, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        sampler.decode(latents, labels)


def test_more_digits_than_an_array_holds(sampler: Sampler) -> None:
    with pytest.raises(MemoryError):
        sampler.sample(2**62)


def test_shapes_and_types(sampler: Sampler) -> None:
    images, labels = sampler.sample(5)
    assert images.shape == (5, 28, 28)
    assert images.dtype == np.uint8
    assert labels.shape == (5,)
    assert labels.dtype == np.int64
    assert sampler.sample(0).images.shape == (0, 28, 28)


@pytest.mark.parametrize("labels", [[3, 1, 4], (3, 1, 4), np.array([3, 1, 4], np.uint8)])
def test_given_labels_are_drawn(sampler: Sampler, labels: Any) -> None:
    images, drawn = sampler.sample(3, labels=labels, start=40)
    assert drawn.tolist() == [3, 1, 4]
    for at, label in enumerate([3, 1, 4]):
        np.testing.assert_array_equal(sampler.sample(1, label, start=40 + at).images[0], images[at])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 2, "labels": [10, 0]}, "from 0 to 9"),
        ({"n": 2, "labels": [-1, 0]}, "from 0 to 9"),
        ({"n": 2, "labels": [1]}, "do not fit 2 samples"),
        ({"n": None, "labels": [1]}, "do not fit endless samples"),
        ({"n": 1, "labels": 1.5}, "one integer"),
        ({"n": 1, "labels": [[1]]}, "one integer"),
        ({"n": 2, "labels": [[1], [2, 3]]}, "one integer"),
        ({"n": 1, "seed": -1}, "seed -1"),
        ({"n": 1, "start": MAX_INDEX}, f"indices go from 0 to {MAX_INDEX - 1}$"),
        ({"n": 10**30}, "out of range"),
        ({"n": -1}, "cannot make -1"),
        ({"n": 1, "truncation": 2.5}, "truncation 2.5"),
    ],
)
def test_bad_arguments_are_refused_at_once(sampler: Sampler, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sampler.stream(**arguments)


@pytest.mark.parametrize(
    ("n", "start"), [(np.uint8(200), 100), (5, np.int32(2**31 - 1)), (np.int64(5), np.uint64(7))]
)
def test_numbers_of_numpy_do_not_wrap_around(sampler: Sampler, n: Any, start: Any) -> None:
    images, labels = sampler.sample(n, start=start)
    expected = sampler.sample(int(n), start=int(start))
    np.testing.assert_array_equal(images, expected.images)
    np.testing.assert_array_equal(labels, expected.labels)
    last: Any = np.int64(2**63 - 3)
    with pytest.raises(UsageError, match="out of range"):
        sampler.sample(n, start=last)


def test_numpy_may_size_batches_and_threads(conditional: Path, sampler: Sampler) -> None:
    small: Any = np.uint8(64)
    drawn = Sampler(conditional, provider="cpu", threads=small, batch_size=small).sample(200)
    np.testing.assert_array_equal(drawn.images, sampler.sample(200).images)


@pytest.mark.parametrize("name", ["n", "seed", "start"])
def test_a_number_that_is_no_integer_is_refused(sampler: Sampler, name: str) -> None:
    arguments: dict[str, Any] = {"n": 5, name: 1.5}
    with pytest.raises(TypeError):
        sampler.sample(**arguments)


def test_no_labels_for_no_samples(sampler: Sampler) -> None:
    assert sampler.sample(0, labels=[]).images.shape == (0, 28, 28)


def test_an_unconditional_model_takes_no_labels(unconditional: Path) -> None:
    sampler = Sampler(unconditional, "cpu")
    assert sampler.sample(3).labels.tolist() == [-1] * 3
    with pytest.raises(UsageError, match="unconditional"):
        sampler.sample(1, labels=0)


def test_truncation_scales_the_latents(sampler: Sampler) -> None:
    full = sampler.sample(8, labels=3).images.astype(float)
    same = sampler.sample(8, labels=3, truncation=0.0).images
    half = sampler.decode(draw_latents(0, 0, 8, 8) * np.float32(0.5), np.full(8, 3)).images
    assert (same == same[0]).all()
    assert full.std(axis=0).mean() > 0
    np.testing.assert_array_equal(sampler.sample(8, labels=3, truncation=0.5).images, half)


def test_an_endless_stream_goes_on_and_ends_when_closed(sampler: Sampler) -> None:
    before = set(threading.enumerate())
    stream = sampler.stream(seed=1)
    images = np.concatenate([batch.images for batch in itertools.islice(stream, 5)])
    stream.close()
    np.testing.assert_array_equal(images, sampler.sample(5 * sampler.batch_size, seed=1).images)
    assert not set(threading.enumerate()) - before


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each run of the graph makes."""
    rows: list[int] = []

    def count(opened: Any, feeds: Any, output: str) -> Any:
        rows.append(len(feeds[contract.INPUT_LATENT]))
        return run_graph(opened, feeds, output)

    monkeypatch.setattr("mnist_sample.sampler.run_graph", count)
    return rows


@pytest.mark.parametrize("n", [1, 11, 64])
def test_a_lone_sample_takes_the_kernels_that_many_take(n: int, sampler: Sampler, made: list[int]) -> None:
    """Other processors than this one round products of one row otherwise."""
    assert len(sampler.sample(n).images) == n
    assert all(rows % 8 == 0 for rows in made)


def test_a_stream_runs_only_a_little_ahead(sampler: Sampler, made: list[int]) -> None:
    stream = sampler.stream()
    next(stream)
    stream.close()
    assert 1 <= sum(made) <= (sampler.threads * 2 + 1) * 2048  # drawn together by each task


@pytest.mark.parametrize("labels", [None, 7])
def test_two_streams_side_by_side(sampler: Sampler, labels: int | Sequence[int] | None) -> None:
    a, b = sampler.stream(80, labels, seed=1), sampler.stream(80, labels, seed=2)
    pairs = [(x.images, y.images) for x, y in zip(a, b, strict=True)]
    for which, seed in ((0, 1), (1, 2)):
        joined = np.concatenate([pair[which] for pair in pairs])
        np.testing.assert_array_equal(joined, sampler.sample(80, labels, seed).images)


def test_slerp_keeps_the_length_of_latents() -> None:
    a, b = draw_latents(0, 0, 2, 64)
    path = slerp(a, b, np.linspace(0, 1, 9))
    np.testing.assert_allclose(path[0], a, atol=1e-6)
    np.testing.assert_allclose(path[-1], b, atol=1e-6)
    lengths = np.linalg.norm(path, axis=1)
    assert lengths.min() > 0.95 * min(np.linalg.norm(a), np.linalg.norm(b))


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_slerp_between_parallel_latents(factor: float) -> None:
    a = draw_latents(0, 0, 1, 64)[0] * np.float32(factor)
    path = slerp(a, 2 * a, np.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(path, [a, 1.5 * a, 2 * a], atol=1e-6)
