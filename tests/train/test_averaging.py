"""The mean of several generators: a generator itself, and refused where it would be none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import train.averaging
from models import checkpoint
from models.checkpoint import Checkpoint
from tests.calling import call
from tests.environment import environment
from tests.models.checkpoints import KINDS, make_checkpoint
from train.averaging_cli import run_command

START = "ab" * 32
Run = Callable[..., int]


def write(path: Path, seed: int, kind: str = "digits", start: str = START, **facts: Any) -> Path:
    """Write the checkpoint of a run that began with the generator `start`."""
    training = {"data": "MNIST", "seed": seed, "settings": {"start_sha256": start}, **facts}
    path.write_bytes(checkpoint.encode(replace(make_checkpoint(kind, seed), training=training)))
    return path


def read(path: Path) -> Checkpoint:
    return checkpoint.read(path)[0]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process; returns its exit code."""
    return partial(call, monkeypatch, run_command)


def draw(trained: Checkpoint, latent: Tensor) -> Tensor:
    label = torch.arange(len(latent)) % trained.config.classes if trained.config.classes else None
    with torch.inference_mode():
        sample: Tensor = trained.build_generator()(*(latent,) if label is None else (latent, label))
    return sample


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "one.pt", 1), write(tmp_path / "two.pt", 2)


@pytest.mark.parametrize("kind", KINDS)
def test_it_writes_the_mean_of_every_weight(kind: str, tmp_path: Path, run: Run) -> None:
    paths = [write(tmp_path / f"{seed}.pt", seed, kind) for seed in (1, 2, 3)]
    assert run(*paths, "--out", tmp_path / "mean.pt") == 0
    mean, parts = read(tmp_path / "mean.pt"), [read(path) for path in paths]
    assert (mean.architecture, mean.config, mean.class_names) == (
        parts[0].architecture,
        parts[0].config,
        parts[0].class_names,
    )
    for name, tensor in mean.weights.items():
        if tensor.is_floating_point():
            wanted = torch.stack([part.weights[name].double() for part in parts]).mean(0)
            assert torch.allclose(tensor.double(), wanted, rtol=1e-6, atol=1e-8), name


@pytest.mark.parametrize("kind", KINDS)
def test_latents_of_that_spread_become_those_of_spread_one(kind: str, tmp_path: Path, run: Run) -> None:
    paths = [write(tmp_path / f"{seed}.pt", seed, kind) for seed in (1, 2)]
    assert run(*paths, "--out", tmp_path / "plain.pt") == 0
    assert run(*paths, "--latent-std", "0.5", "--out", tmp_path / "wide.pt") == 0
    plain, wide = read(tmp_path / "plain.pt"), read(tmp_path / "wide.pt")
    latent = torch.randn(8, plain.config.latent_dim, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(draw(wide, latent / 2), draw(plain, latent), atol=1e-6)
    assert not torch.allclose(draw(wide, latent), draw(plain, latent), atol=1e-5)


def test_it_tells_how_it_was_made(tmp_path: Path, run: Run) -> None:
    """What its generators agree on once, and of each what it alone says."""
    paths = [
        write(tmp_path / "1.pt", 1, settings={"start_sha256": START, "gamma": 0.3}, device="cuda"),
        write(tmp_path / "2.pt", 2, settings={"start_sha256": START, "gamma": 1.0}),
    ]
    assert run(*paths, "--latent-std", "0.98", "--out", tmp_path / "mean.pt") == 0
    mean, digests = read(tmp_path / "mean.pt"), [checkpoint.read(path)[1] for path in paths]
    assert mean.training == {
        "data": "MNIST",
        "settings": {"start_sha256": START},
        "latent_std": 0.98,
        "average_of": [
            {"seed": 1, "settings": {"gamma": 0.3}, "device": "cuda", "sha256": digests[0]},
            {"seed": 2, "settings": {"gamma": 1.0}, "sha256": digests[1]},
        ],
    }
    assert mean.evaluation == {}, "nobody has measured it"


def test_it_says_what_it_wrote(
    pair: tuple[Path, Path], tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*pair, "--out", tmp_path / "mean.pt") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'mean.pt'} written\n"


@pytest.mark.parametrize(
    ("start", "kind", "complaint"),
    [
        ("cd" * 32, "digits", "did not begin with the same file"),
        ("", "digits", "did not begin with the same file"),
        (START, "unconditional", "of another shape or of other classes"),
    ],
)
def test_generators_that_did_not_begin_as_one_are_refused(
    start: str,
    kind: str,
    complaint: str,
    pair: tuple[Path, Path],
    tmp_path: Path,
    run: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mean.pt").write_text("what stood there")
    stranger = write(tmp_path / "stranger.pt", 3, kind, start)
    assert run(*pair, stranger, "--out", tmp_path / "mean.pt") == 1
    error = capsys.readouterr().err
    assert complaint in error
    assert "stranger.pt" in error
    assert (tmp_path / "mean.pt").read_text() == "what stood there"


def test_what_they_began_with_may_be_among_them(tmp_path: Path, run: Run) -> None:
    """As where the last runs of a long chain are to lead only part of the way from there."""
    start = write(tmp_path / "start.pt", 1, start="cd" * 32)
    began = [write(tmp_path / f"{seed}.pt", seed, start=checkpoint.read(start)[1]) for seed in (2, 3)]
    for paths in ([start, *began], [*began, start], [began[0], start]):
        assert run(*paths, "--out", tmp_path / "mean.pt") == 0
        mean, parts = read(tmp_path / "mean.pt"), [read(path) for path in paths]
        wanted = torch.stack([part.weights["to_pixels.weight"] for part in parts]).mean(0)
        assert torch.allclose(mean.weights["to_pixels.weight"], wanted, atol=1e-6)


def test_a_chain_has_no_mean(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    """A run, one that began with it, and one that began with that."""
    paths = [write(tmp_path / "1.pt", 1, start="cd" * 32)]
    for seed in (2, 3):
        paths.append(write(tmp_path / f"{seed}.pt", seed, start=checkpoint.read(paths[-1])[1]))
    assert run(*paths, "--out", tmp_path / "mean.pt") == 1
    assert f"{paths[0]} and {paths[2]} did not begin with the same file" in capsys.readouterr().err
    assert not (tmp_path / "mean.pt").exists()


@pytest.mark.parametrize("settings", [None, [], {}, {"start_sha256": 7}, {"start_sha256": ""}])
def test_first_runs_are_refused(
    settings: Any, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [write(tmp_path / f"{seed}.pt", seed, settings=settings) for seed in (1, 2)]
    assert run(*paths, "--out", tmp_path / "mean.pt") == 1
    assert "train each with --start-from and the same gen.pt" in capsys.readouterr().err


def test_a_file_that_is_no_generator_is_named(
    pair: tuple[Path, Path], tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.pt").write_text("no generator")
    (tmp_path / "loop.pt").symlink_to(tmp_path / "loop.pt")
    for name in ("text.pt", "missing.pt", "loop.pt"):
        assert run(pair[0], tmp_path / name, "--out", tmp_path / "mean.pt") == 1
        assert name in capsys.readouterr().err
        assert not (tmp_path / "mean.pt").exists()


def test_an_average_that_nobody_could_read_is_not_written(
    pair: tuple[Path, Path], tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*pair, "--latent-std", "1e-45", "--out", tmp_path / "mean.pt") == 1
    deep: list[Any] = []
    for _ in range(10):
        deep = [deep]
    stranger = write(tmp_path / "deep.pt", 3, notes=deep)
    assert run(*pair, stranger, "--out", tmp_path / "mean.pt") == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert all("the average of these generators is not one" in error for error in errors)
    assert not (tmp_path / "mean.pt").exists()


@pytest.mark.parametrize("value", ["0", "-1", "1.01", "nan"])
def test_a_spread_out_of_range_is_wrong_usage(
    value: str, pair: tuple[Path, Path], tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*pair, "--latent-std", value, "--out", tmp_path / "mean.pt") == 2
    assert "--latent-std must be above 0 and at most 1" in capsys.readouterr().err


def test_one_generator_is_wrong_usage(
    pair: tuple[Path, Path], tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    one = pair[0]
    copied = tmp_path / "copy.pt"
    copied.write_bytes(checkpoint.encode(replace(read(one), evaluation={"recall": {"generated": 1}})))
    assert run(one, "--out", tmp_path / "mean.pt") == 2
    for again in (one, copied):
        assert run(one, again, "--out", tmp_path / "mean.pt") == 2
        assert "named twice, or is a copy" in capsys.readouterr().err


def test_no_generator_is_written_over(
    pair: tuple[Path, Path], tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pair[1].read_bytes()
    (tmp_path / "link.pt").symlink_to(pair[1])
    for out in (pair[1], tmp_path / "link.pt"):
        assert run(*pair, "--out", out) == 2
        assert "is read here" in capsys.readouterr().err
    assert pair[1].read_bytes() == before


def test_help_and_a_wrong_option_do_not_wait_for_pytorch() -> None:
    code = "import sys, train.averaging_cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0


def test_generators_of_different_digits_are_refused(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else what says whether it has seen MNIST would be true of a part of it."""
    one = write(tmp_path / "one.pt", 1, data_sha256="cd" * 32)
    two = write(tmp_path / "two.pt", 2, data_sha256="ef" * 32)
    assert run(one, two, "--out", tmp_path / "mean.pt") == 1
    assert "were trained on different digits" in capsys.readouterr().err


def test_a_link_stays_one(pair: tuple[Path, Path], tmp_path: Path, run: Run) -> None:
    """As `/dev/stdout` is, which all processes share."""
    link = tmp_path / "latest.pt"
    link.symlink_to(tmp_path / "mean.pt")
    assert run(*pair, "--out", link) == 0
    assert link.readlink() == tmp_path / "mean.pt"
    assert read(tmp_path / "mean.pt").training["average_of"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_one_line(
    number: signal.Signals,
    pair: tuple[Path, Path],
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(train.averaging, "write_atomically", lambda *_: signal.raise_signal(number))
    assert run(*pair, "--out", tmp_path / "mean.pt") == 128 + number
    assert capsys.readouterr() == ("", "stopped before the average was written\n")


def test_a_device_is_not_replaced(
    pair: tuple[Path, Path], tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert run(*pair, "--out", tmp_path / "pipe") == 1
    assert "a device or a pipe" in capsys.readouterr().err
    assert (tmp_path / "pipe").is_fifo()
    assert run(*pair, "--out", tmp_path / "loop") == 1
    assert "Too many levels of symbolic links" in capsys.readouterr().err


def test_a_missing_folder_is_one_line(
    pair: tuple[Path, Path], tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*pair, "--out", tmp_path / "nowhere" / "mean.pt") == 1
    error = capsys.readouterr().err
    assert "nowhere does not exist; make it first" in error
    assert len(error.splitlines()) == 1
