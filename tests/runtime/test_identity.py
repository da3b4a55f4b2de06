"""A sample is named by model, seed and index: batches, shards, threads and order do not change it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mnist_sample.cli import run_arguments
from mnist_sample.folder import _write_chunks as write_chunks
from mnist_sample.pngworker import Chunk
from mnist_sample.randomness import MAX_INDEX, MAX_SEED
from mnist_sample.sampler import Sampler

SHAPES = ((1, 1), (1, 7), (2, 16), (3, 64), (2, 128))
"""Threads and batch sizes."""

seeds = st.integers(0, MAX_SEED)
starts = st.integers(0, 2**20) | st.integers(2**40, 2**41) | st.integers(MAX_INDEX - 2**20, MAX_INDEX - 200)


@pytest.fixture(scope="module")
def samplers(any_model: Path) -> list[Sampler]:
    return [Sampler(any_model, "cpu", threads, batch_size) for threads, batch_size in SHAPES]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=seeds,
    start=starts,
    n=st.integers(1, 150),
    a=st.integers(0, len(SHAPES) - 1),
    b=st.integers(0, len(SHAPES) - 1),
    data=st.data(),
)
def test_any_cut_of_a_run_gives_the_same_pictures(
    samplers: list[Sampler], seed: int, start: int, n: int, a: int, b: int, data: st.DataObject
) -> None:
    images, labels = samplers[a].sample(n, seed=seed, start=start)
    cut = data.draw(st.integers(0, n), label="cut")
    second = samplers[b].sample(n - cut, seed=seed, start=start + cut)
    first = samplers[b].sample(cut, seed=seed, start=start)
    np.testing.assert_array_equal(np.concatenate([first.labels, second.labels]), labels)
    np.testing.assert_array_equal(np.concatenate([first.images, second.images]), images)


def test_batches_of_a_stream_come_in_order(samplers: list[Sampler]) -> None:
    images, labels = samplers[0].sample(100, seed=3, start=50)
    batches = list(samplers[2].stream(100, seed=3, start=50))
    assert [len(batch.images) for batch in batches] == [16] * 6 + [4]
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), images)
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]), labels)


def test_seeds_and_indices_give_different_pictures(sampler: Sampler) -> None:
    images = np.concatenate([sampler.sample(20, labels=3, seed=seed).images for seed in (0, 1)])
    assert len({image.tobytes() for image in images}) == 40


def _payload(path: Path) -> bytes:
    """Return the pixels of an `.npy` file without its header."""
    return bytes(np.load(path).data)


def test_ten_shards_joined_are_one_run(conditional: Path, tmp_path: Path) -> None:
    common = ["--model", str(conditional), "--provider", "cpu", "--seed", "7", "--digits", "314"]
    whole, shards, start = tmp_path / "whole.npy", b"", 0
    assert run_arguments([*common, "--n", "200", "--start", "1000", "--out", str(whole)]) == 0
    for size in (1, 2, 40, 7, 16, 33, 1, 64, 20, 16):
        part = tmp_path / "part.npy"
        begin = ["--start", str(1000 + start), "--n", str(size), "--batch-size", str(size % 9 + 1)]
        assert run_arguments([*common, *begin, "--out", str(part)]) == 0
        shards, start = shards + _payload(part), start + size
    assert start == 200
    assert shards == _payload(whole)


def test_shards_fill_a_folder_with_the_files_of_one_run(conditional: Path, tmp_path: Path) -> None:
    common = ["--model", str(conditional), "--provider", "cpu", "--seed", "1"]
    assert run_arguments([*common, "--n", "40", "--out", f"{tmp_path}/whole/"]) == 0
    for start in range(0, 40, 4):
        shard = ["--start", str(start), "--n", "4", "--threads", "1", "--out", f"{tmp_path}/shards/"]
        assert run_arguments([*common, *shard]) == 0
    whole = {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
    assert len(whole) == 40
    assert {path.name: path.read_bytes() for path in (tmp_path / "shards").iterdir()} == whole


def test_another_shard_makes_the_new_folder_first(
    conditional: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(chunks: Iterable[Chunk], n: int, processes: int) -> None:
        write_chunks(chunks, n, processes)
        (tmp_path / "shards").mkdir()
        (tmp_path / "shards" / "another shard's").touch()

    monkeypatch.setattr("mnist_sample.folder._write_chunks", write)
    assert run_arguments(["--model", str(conditional), "--n", "2", "--out", f"{tmp_path}/shards/"]) == 0
    assert len(list((tmp_path / "shards").iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]
