"""Tiny training runs, and accidents that befall them at a chosen step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import train.loop
from train.capture import prepare_step
from train.session import Request, run
from train.state import State

if TYPE_CHECKING:
    import pytest  # of the extra `dev`, which `tests.gpu` does without

TINY: dict[str, Any] = {"batch_size": 6, "steps": 6, "lr": 2e-4, "device": "cpu", "bf16": False}

Accident = Callable[[State], None]


def begin(data: Path, out: Path, save_every: float = 1e9, **settings: Any) -> Path | None:
    """Train a new tiny run."""
    return run(Request(str(data), out, None, {**TINY, **settings}, save_every))


def go_on(folder: Path, **settings: Any) -> Path | None:
    """Go on with a run."""
    return run(Request(resume=folder, settings=settings))


def strike(monkeypatch: pytest.MonkeyPatch, step: int, accident: Accident) -> None:
    """Let an accident happen to the next run right after its update number `step`."""

    def prepare(state: State, *others: Any) -> Callable[[], None]:
        take_step = prepare_step(state, *others)

        def take_and_strike() -> None:
            take_step()
            if state.step + 1 == step:
                accident(state)

        return take_and_strike

    monkeypatch.setattr(train.loop, "prepare_step", prepare)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's `metrics.jsonl`."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def weights_of(folder: Path) -> dict[str, Tensor]:
    """Return the weights in a run's `gen.pt`."""
    weights: dict[str, Tensor] = torch.load(folder / "gen.pt", weights_only=True)["weights"]
    return weights


def assert_same_weights(folder: Path, other: Path) -> None:
    """Fail unless two runs ended with the same bits, in everything that another step would read."""
    assert_same_values(weights_of(folder), weights_of(other))
    one, two = (torch.load(path / "resume.pt", weights_only=True) for path in (folder, other))
    for name in ("generator", "discriminator", "average", "optimizer_g", "optimizer_d", "random", "step"):
        assert_same_values(one[name], two[name])


def assert_same_values(one: Any, two: Any) -> None:
    """Fail unless two nests of dicts, lists and tensors hold the same bits."""
    if isinstance(one, dict):
        assert one.keys() == two.keys()
        one, two = list(one.values()), list(two.values())
    if isinstance(one, list):
        for mine, theirs in zip(one, two, strict=True):
            assert_same_values(mine, theirs)
    elif isinstance(one, Tensor):
        assert torch.equal(one, two)
    else:
        assert one == two
