"""A `resume.pt` from anybody is refused in one line, or goes on; it never reaches beyond its tensors."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mnist_sample.errors import MnistSampleError
from tests.train.running import go_on
from train.state import ResumeError

Edit = Callable[[dict[str, Any]], object]


def put(value: object, *path: Any) -> Edit:
    """Return an edit that replaces the value at a path of keys."""

    def edit(saved: dict[str, Any]) -> None:
        part = saved
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value

    return edit


EDITS: dict[str, Edit] = {
    "facts are a list": put([1], "facts"),
    "no facts": put(None, "facts"),
    "a source that is no text": put(7, "facts", "source"),
    "a digest that is no text": put(None, "facts", "data_sha256"),
    "settings are a list": put([1], "facts", "settings"),
    "an unknown setting": put(1, "facts", "settings", "colour"),
    "a setting of another type": put("x", "facts", "settings", "batch_size"),
    "half a digit per step": put(6.5, "facts", "settings", "batch_size"),
    "a setting out of range": put(10**9, "facts", "settings", "shift"),
    "a memory beyond 1": put(2.0, "facts", "settings", "beta2"),
    "penalties of no digits": put(0, "facts", "settings", "penalty_every"),
    "penalties of less than none": put(-4, "facts", "settings", "penalty_every"),
    "a flag for a number": put(True, "facts", "settings", "seed"),
    "a path that no system has": put("a\0b", "facts", "source"),
    "an unknown architecture": put("vast", "facts", "settings", "arch"),
    "an unknown objective": put("none", "facts", "settings", "objective"),
    "the objective of another architecture": put("bce", "facts", "settings", "objective"),
    "the head of another architecture": put(True, "facts", "settings", "still_head"),
    "a step that is no number": put("x", "step"),
    "a step before the first": put(-5, "step"),
    "half a step": put(1.5, "step"),
    "no seconds": put(float("nan"), "seconds"),
    "no weights": put({}, "generator"),
    "no moments": put({}, "optimizer_g"),
    "moments of no parameter": put({}, "optimizer_g", "state"),
    "moments that are too short": put(torch.zeros(3), "optimizer_g", "state", 0, "exp_avg"),
    "moments that are no tensor": put(None, "optimizer_d", "state", 0, "exp_avg_sq"),
    "moments that are no numbers": put(torch.tensor(torch.nan), "optimizer_g", "state", 0, "exp_avg"),
    "a norm that is no number": put(torch.tensor(torch.nan), "norm_d"),
    "no randomness": put(torch.zeros(3, dtype=torch.uint8), "random"),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_what_cannot_be_gone_on_with_is_refused(edit: Edit, finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    saved = torch.load(folder / "resume.pt", weights_only=True)
    saved["facts"]["settings"]["steps"] = 8  # so that two more steps would be taken
    edit(saved)
    torch.save(saved, folder / "resume.pt")
    with pytest.raises(MnistSampleError, match="begin a new run") as refused:
        go_on(folder)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_no_numbers_are_not_blamed_on_the_run(
    value: float, finished: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    saved = torch.load(folder / "resume.pt", weights_only=True)
    saved["facts"]["settings"]["steps"] = 8
    next(iter(saved["discriminator"].values())).fill_(value)
    torch.save(saved, folder / "resume.pt")
    with pytest.raises(ResumeError, match=r"resume\.pt holds values that are no numbers .*begin a new run"):
        go_on(folder)


def test_nothing_that_hangs_on_the_weights_is_obeyed(finished: Path, tmp_path: Path) -> None:
    """PyTorch would put such tensors in the place of the parameters, and the optimizer hold the old ones."""
    folder = shutil.copytree(finished, tmp_path / "run")
    saved = torch.load(folder / "resume.pt", weights_only=True)
    saved["facts"]["settings"]["steps"] = 8
    weights = saved["generator"]
    for part in weights._metadata.values():
        part["assign_to_params_buffers"] = True
    for name in weights:
        weights[name] = weights[name].double() if weights[name].is_floating_point() else weights[name]
    torch.save(saved, folder / "resume.pt")
    go_on(folder)
    after = torch.load(folder / "resume.pt", weights_only=True)
    assert after["step"] == 8
    moved = {name for name, weight in after["generator"].items() if not torch.equal(weight, weights[name])}
    assert "to_pixels.weight" in moved, "it went on learning"
    assert after["generator"]["to_pixels.weight"].dtype == torch.float32


def test_moments_without_memory_of_their_own_are_copied(finished: Path, tmp_path: Path) -> None:
    """One number that stands for all: Adam writes each of them."""
    folder = shutil.copytree(finished, tmp_path / "run")
    saved = torch.load(folder / "resume.pt", weights_only=True)
    saved["facts"]["settings"]["steps"] = 8
    moments = saved["optimizer_d"]["state"][0]
    moments["exp_avg"] = torch.zeros(1).expand(moments["exp_avg"].shape)
    torch.save(saved, folder / "resume.pt")
    go_on(folder)
    resumed = torch.load(folder / "resume.pt", weights_only=True)["optimizer_d"]["state"][0]["exp_avg"]
    assert len(resumed.unique()) > 1
