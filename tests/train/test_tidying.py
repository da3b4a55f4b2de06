"""A generator learns to draw its own digits without stray ink."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

import train.tidying
from models import checkpoint
from models.checkpoint import Checkpoint
from tests.calling import call
from tests.environment import environment
from tests.models.checkpoints import KINDS, SIZES, make_checkpoint
from train.stray_ink import find_specks
from train.tidying_cli import run_command

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command in this process; returns its exit code."""
    return partial(call, monkeypatch, run_command)


def make_generator_of(picture: Tensor) -> Checkpoint:
    """Return a generator that draws, whatever its latents, ink `[14, 14]` in one of each 2 x 2 pixels."""
    made = make_checkpoint()
    weights = {name: torch.zeros_like(tensor) for name, tensor in made.weights.items()}
    for name in weights:
        if "running_var" in name or name in ("normalise_maps.weight", "blocks.0.1.weight"):
            weights[name].fill_(1.0)
    weights["normalise_hidden.bias"].fill_(1.0)
    weights["spread.weight"][: picture.numel()] = picture.reshape(-1, 1) / SIZES["hidden"]
    weights["blocks.0.0.weight"][0, 0, 1, 1] = 1.0
    weights["to_pixels.weight"][0, 0, 1, 1] = 2.0
    weights["to_pixels.bias"].fill_(-1.0)
    return replace(made, weights=weights)


def write(path: Path, trained: Checkpoint) -> Path:
    path.write_bytes(checkpoint.encode(trained))
    return path


def draw(path: Path) -> Tensor:
    """Return a file's digits for ten latents, as ink 1 on paper 0."""
    trained = checkpoint.read(path)[0]
    latent = torch.randn(10, trained.config.latent_dim, generator=torch.Generator().manual_seed(0))
    sample: Tensor = trained.build_generator()(latent, torch.arange(10))
    return (sample + 1) / 2


def test_it_learns_to_leave_out_the_speck_alone(tmp_path: Path, run: Run) -> None:
    picture = torch.zeros(14, 14)
    picture[3:11, 5:8] = 1.0
    picture[6, 12] = 0.5
    specked = write(tmp_path / "specked.pt", make_generator_of(picture))
    before = draw(specked)
    assert find_specks(before).flatten(1).any(1).all()
    assert run(specked, "--steps", "40", "--out", tmp_path / "tidy.pt") == 0
    after = draw(tmp_path / "tidy.pt")
    assert not find_specks(after).any()
    assert torch.allclose(after[..., :20], before[..., :20], atol=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_every_generator_can_be_taught(kind: str, tmp_path: Path, run: Run) -> None:
    before = make_checkpoint(kind)
    path = write(tmp_path / "gen.pt", before)
    assert run(path, "--steps", "1", "--seed", "5", "--out", tmp_path / "tidy.pt") == 0
    after, _ = checkpoint.read(tmp_path / "tidy.pt")
    assert after.config == before.config
    assert after.class_names == before.class_names
    assert after.evaluation == {}, "nobody has measured it"
    assert after.training.pop("tidied")["sha256"] == checkpoint.read(path)[1]
    assert after.training == before.training


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, run: Run) -> None:
    path = write(tmp_path / "gen.pt", make_checkpoint())
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        assert run(path, "--steps", "2", "--seed", seed, "--out", tmp_path / name) == 0
    one, again, other = ((tmp_path / name).read_bytes() for name in ("one", "again", "other"))
    assert one == again
    assert one != other


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--steps", "0", "--steps must be from 1 to 1,000,000"),
        ("--seed", "-1", "--seed must be from 0 to 2**63 - 1"),
    ],
)
def test_a_value_out_of_range_is_wrong_usage(
    option: str, value: str, complaint: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "gen.pt", make_checkpoint())
    assert run(path, option, value, "--out", tmp_path / "tidy.pt") == 2
    assert complaint in capsys.readouterr().err


def test_the_generator_is_not_written_over(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "gen.pt", make_checkpoint())
    before = path.read_bytes()
    assert run(path, "--steps", "1", "--out", path) == 2
    assert "is read here" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_what_is_no_checkpoint_is_one_line(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gen.pt").write_text("no checkpoint")
    assert run(tmp_path / "gen.pt", "--out", tmp_path / "tidy.pt") == 1
    assert run(tmp_path / "missing.pt", "--out", tmp_path / "tidy.pt") == 1
    assert run(tmp_path / "gen.pt", "--out", tmp_path / "nowhere" / "tidy.pt") == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert "cannot use checkpoint" in errors[0]
    assert "cannot read checkpoint" in errors[1]
    assert "nowhere does not exist; make it first" in errors[2]


def test_weights_that_are_no_numbers_are_not_written(
    tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    made = make_checkpoint()
    huge = {name: tensor * 1e30 if "weight" in name else tensor for name, tensor in made.weights.items()}
    path = write(tmp_path / "gen.pt", replace(made, weights=huge))
    assert run(path, "--steps", "1", "--out", tmp_path / "tidy.pt") == 1
    assert "has learned nothing that can be kept" in capsys.readouterr().err
    assert not (tmp_path / "tidy.pt").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_one_line_and_writes_nothing(
    number: signal.Signals,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write(tmp_path / "gen.pt", make_checkpoint())
    monkeypatch.setattr(train.tidying, "remove_stray_ink", lambda _: signal.raise_signal(number))
    assert run(path, "--out", tmp_path / "tidy.pt") == 128 + number
    assert capsys.readouterr() == ("", "stopped before the generator was written\n")
    assert [file.name for file in tmp_path.iterdir()] == ["gen.pt"]


def test_help_and_a_wrong_option_do_not_wait_for_pytorch() -> None:
    code = "import sys, train.tidying_cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0
