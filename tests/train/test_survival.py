"""Whatever ends a run, it goes on from its last whole checkpoint to the very same weights."""

from __future__ import annotations

import errno
import json
import os
import random
import shlex
import shutil
import signal
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import pytest
import torch

import train.loop
import train.run_folder
from mnist_sample.errors import OutputError, UsageError
from models import checkpoint
from tests.train.children import KILLED_WRITES, make_context, run_and_die
from tests.train.idx_files import LABELS, write_folder
from tests.train.running import (
    TINY,
    assert_same_values,
    assert_same_weights,
    begin,
    go_on,
    read_metrics,
    strike,
    weights_of,
)
from train.claim import claim
from train.config import make_config
from train.failures import OutOfMemoryError, slower_command
from train.interruption import sigterm_as_ctrl_c
from train.loop import DivergedError, InterruptedRunError
from train.run_folder import MovedError, RunFolder
from train.session import Request, run
from train.state import ResumeError, State

FIRST_SAVED = 6
"""So many files a new run has written when it can be gone on with."""


def begin_from(data: Path, parent: Path, out: Path, **settings: Any) -> Path:
    """Train a new tiny run that starts with the generator of another."""
    folder = run(Request(str(data), out, None, {**TINY, **settings}, start_from=parent / "gen.pt"))
    assert folder
    return folder


def send(number: signal.Signals) -> Any:
    """Return an accident: this process gets a signal."""
    return lambda _state: os.kill(os.getpid(), number)


def send_twice(number: signal.Signals) -> Any:
    """Return an accident: this process gets a signal and, before the step has ended, another."""

    def accident(_state: State) -> None:
        signal.raise_signal(number)
        signal.raise_signal(number)

    return accident


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_rest_gives_the_same_bits(
    number: signal.Signals, data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        strike(patch, 3, send(number))
        with pytest.raises(InterruptedRunError, match=r"stopped at step 3.*python -m train --resume "):
            begin(data, tmp_path / "run")
    go_on(tmp_path / "run")
    assert_same_weights(tmp_path / "run", finished)
    steps = [line["step"] for line in read_metrics(tmp_path / "run")]
    assert steps == [1, 2, 3, 4, 5, 6]


def test_the_tutorials_run_goes_on_too(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {"arch": "tutorial", "steps": 4}
    begin(data, tmp_path / "whole", **settings)
    with monkeypatch.context() as patch:
        strike(patch, 2, send(signal.SIGINT))
        with pytest.raises(InterruptedRunError):
            begin(data, tmp_path / "run", **settings)
    go_on(tmp_path / "run")
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


def test_a_run_under_bfloat16_goes_on_to_the_same_bits(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin(data, tmp_path / "whole", bf16=True, steps=3)
    with monkeypatch.context() as patch:
        strike(patch, 2, send(signal.SIGTERM))
        with pytest.raises(InterruptedRunError):
            begin(data, tmp_path / "run", bf16=True, steps=3)
    go_on(tmp_path / "run")
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


def test_kills_one_after_another_change_nothing(data: Path, tmp_path: Path) -> None:
    """SIGKILL at random moments, and at each moment of a checkpoint's writing; then the run is finished."""
    settings: dict[str, Any] = {"arch": "tutorial", "steps": 40}
    begin(data, tmp_path / "whole", **settings)
    folder = tmp_path / "run"
    moments = random.Random()
    seed = moments.randrange(2**32)
    print(f"seed of the moments: {seed}")
    moments.seed(seed)
    for how in [*KILLED_WRITES, "any", "any", "any"]:
        child = make_context().Process(
            target=run_and_die, args=(data, folder, settings, how, moments.randint(FIRST_SAVED + 1, 18))
        )
        child.start()
        if how == "any":
            child.join(timeout=moments.uniform(0, 1))
            child.kill()
        child.join()
        assert child.exitcode == -signal.SIGKILL or how == "any"
        checkpoint.read(folder / "gen.pt")
    go_on(folder)
    assert_same_weights(folder, tmp_path / "whole")
    assert [line["step"] for line in read_metrics(folder)] == list(range(1, 41))


def test_a_checkpoint_does_not_wait_for_the_next_reading_of_the_losses(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.loop, "choose_log_interval", lambda _config: 4)
    with monkeypatch.context() as patch:
        strike(patch, 3, send_twice(signal.SIGINT))
        with pytest.raises(InterruptedRunError, match=r"saved at step 2 is whole"):
            begin(data, tmp_path / "run", save_every=0)
    go_on(tmp_path / "run")
    assert_same_weights(tmp_path / "run", finished)
    metrics, single = read_metrics(tmp_path / "run"), read_metrics(finished)
    assert [line["step"] for line in metrics] == [4, 6]
    mean = sum(line["g_loss"] for line in single[:4]) / 4
    assert metrics[0]["g_loss"] == pytest.approx(mean, rel=1e-5)


def test_exploded_losses_are_not_saved_before_they_are_read(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(state: State) -> None:
        state.sums.fill_(1e9)

    monkeypatch.setattr(train.loop, "choose_log_interval", lambda _config: 4)
    strike(monkeypatch, 2, explode)
    with pytest.raises(DivergedError, match=r"a loss is 2\.5e\+08; gen\.pt of step 1 is whole"):
        begin(data, tmp_path / "run", save_every=0)


def test_a_signal_does_not_save_exploded_weights(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(state: State) -> None:
        state.sums.fill_(1e9)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(train.loop, "choose_log_interval", lambda _config: 4)
    strike(monkeypatch, 2, explode)
    with pytest.raises(DivergedError, match=r"a loss is 5e\+08; gen\.pt of step 1 is whole"):
        begin(data, tmp_path / "run", save_every=0)
    assert torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["step"] == 1


def test_half_a_line_of_metrics_is_taken_back(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        strike(patch, 3, send(signal.SIGINT))
        with pytest.raises(InterruptedRunError):
            begin(data, tmp_path / "run")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "secon')
    go_on(tmp_path / "run")
    assert [line["step"] for line in read_metrics(tmp_path / "run")] == [1, 2, 3, 4, 5, 6]


def test_lines_of_metrics_that_a_power_cut_spoiled_are_taken_back(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    other_kind = json.dumps(read_metrics(finished)[3] | {"seconds": "long"}).encode()
    half_measured = json.dumps(read_metrics(finished)[3] | {"frechet": 1.0}).encode()
    beyond = json.dumps(read_metrics(finished)[3] | {"d_loss": 10**400}).encode()
    torn = (bytes(4), b'\0\0"g_loss": 1}', b"{}", b'"}', b"[4]", b"\xff\xfe}", b"[" * 100_000)
    spoiled = (*torn, other_kind, half_measured, beyond)
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b"\n".join(spoiled))
    go_on(folder)
    assert read_metrics(folder) == read_metrics(finished)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_stops_at_once_and_tells_what_is_saved(
    number: signal.Signals, data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        strike(patch, 4, send_twice(number))
        said = r"stopped at once; .*saved at step 3 is whole; go on with: .*--resume "
        with sigterm_as_ctrl_c(), pytest.raises(InterruptedRunError, match=said):
            begin(data, tmp_path / "run", save_every=0)
    go_on(tmp_path / "run")
    assert_same_weights(tmp_path / "run", finished)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_last_pictures_are_drawn_tells_how_to_go_on(
    number: signal.Signals, data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "finish", lambda *_: signal.raise_signal(number))
        with (
            sigterm_as_ctrl_c(),
            pytest.raises(InterruptedRunError, match=r"saved at step 6 is whole; go on with: .*--resume "),
        ):
            begin(data, tmp_path / "run")
    go_on(tmp_path / "run")
    assert (tmp_path / "run" / "report.html").exists()
    assert_same_weights(tmp_path / "run", finished)


def test_what_a_killed_write_has_left_is_cleared_away(data: Path, finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    halves = [folder / ".resume.pt.abc.tmp", folder / "samples" / ".000004.png.abc.tmp"]
    for half in halves:
        half.write_bytes(b"half")
    go_on(folder)
    assert not [half for half in halves if half.exists()]


def test_what_somebody_else_has_left_stays(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    (folder / "backup").mkdir()
    others = [
        folder / ".notes.tmp",
        folder / ".notes.txt.abc.tmp",
        folder / "samples" / ".notes.png.abc.tmp",
        folder / "backup" / ".gen.pt.abc.tmp",
    ]
    for other in others:
        other.write_bytes(b"theirs")
    go_on(folder)
    assert all(other.exists() for other in others)


def test_a_run_on_the_usual_data_finds_them_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` named the folder by MNIST_DIR, which is not set any more when the run goes on."""
    with monkeypatch.context() as patch:
        patch.setenv("MNIST_DIR", str(data))
        strike(patch, 3, send(signal.SIGINT))
        with pytest.raises(InterruptedRunError):
            run(Request(None, tmp_path / "run", settings=TINY))
    monkeypatch.delenv("MNIST_DIR", raising=False)
    go_on(tmp_path / "run")
    assert checkpoint.read(tmp_path / "run" / "gen.pt")[0].training["steps"] == 6


def test_a_finished_run_has_nothing_to_go_on_with(data: Path, finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    go_on(folder)
    assert_same_weights(folder, finished)


@pytest.mark.parametrize("steps", [6, 8])
def test_a_checkpoint_that_came_alone_is_enough(steps: int, finished: Path, tmp_path: Path) -> None:
    shutil.copy(finished / "resume.pt", tmp_path)
    go_on(tmp_path, steps=steps)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in finished.iterdir()}
    assert checkpoint.read(tmp_path / "gen.pt")[0].training["steps"] == steps
    assert (tmp_path / "reals.png").read_bytes() == (finished / "reals.png").read_bytes()


@pytest.mark.parametrize("name", ["samples", "reals.png"])
def test_a_finished_run_is_closed_anew_without_some_of_its_files(
    name: str, finished: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    (folder / name).rename(tmp_path / name)
    go_on(folder)
    assert {path.name for path in folder.iterdir()} == {path.name for path in finished.iterdir()}


@pytest.mark.parametrize("damage", ["junk", "of another step", "of another seed"])
def test_a_finished_run_is_closed_anew_with_files_that_were_damaged(
    damage: str, data: Path, finished: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    (folder / "reals.png").write_bytes(b"junk")
    (folder / "gen.pt").write_bytes(b"junk")
    if damage != "junk":
        other = {"of another step": {"steps": 7}, "of another seed": {"seed": 1}}[damage]
        begin(data, tmp_path / "other", **other)
        shutil.copy(tmp_path / "other" / "gen.pt", folder)
    go_on(folder)
    assert_same_values(weights_of(folder), weights_of(finished))
    assert (folder / "reals.png").read_bytes() == (finished / "reals.png").read_bytes()


def test_what_stands_in_the_way_is_named(finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy", ignore=shutil.ignore_patterns("samples"))
    (folder / "samples").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write to .*/copy/samples: .*\nmend that; what was saved"):
        go_on(folder)
    assert (folder / "samples").read_text() == "mine"


def fail(patch: pytest.MonkeyPatch, module: ModuleType, name: str, number: int) -> None:
    """Let a system call fail from now on."""

    def call(*_: object, **__: object) -> NoReturn:
        raise OSError(number, os.strerror(number))

    patch.setattr(module, name, call)


@pytest.mark.parametrize(
    ("module", "name", "number"),
    [(os, "fsync", errno.ENOSPC), (tempfile, "mkstemp", errno.EROFS)],
    ids=["disk full", "folder read-only"],
)
def test_a_checkpoint_that_cannot_be_written_leaves_the_last_one_whole(
    module: ModuleType,
    name: str,
    number: int,
    data: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch:
        strike(patch, 4, lambda _state: fail(patch, module, name, number))
        with pytest.raises(OutputError) as failed:
            begin(data, tmp_path / "run", save_every=0)
    assert os.strerror(number) in str(failed.value)
    remedy = {errno.ENOSPC: "make room", errno.EROFS: "mend that"}[number]
    assert f"\n{remedy}; what was saved at step 3 is whole" in str(failed.value)
    assert f"python -m train --resume {shlex.quote(str(tmp_path / 'run'))}" in str(failed.value)
    assert checkpoint.read(tmp_path / "run" / "gen.pt")[0].training["steps"] == 3
    assert not [path.name for path in (tmp_path / "run").iterdir() if path.name.endswith(".tmp")]
    go_on(tmp_path / "run")
    assert_same_weights(tmp_path / "run", finished)


def test_a_full_disk_before_the_first_checkpoint_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike(monkeypatch, 1, lambda _state: fail(monkeypatch, os, "fsync", errno.ENOSPC))
    with pytest.raises(OutputError, match=r"No space left.*\nnothing was saved yet"):
        begin(data, tmp_path / "run")
    with pytest.raises(UsageError, match=r"holds a run that has saved nothing: .* choose another --out"):
        begin(data, tmp_path / "run")
    with pytest.raises(ResumeError, match=r"stopped before its first checkpoint: begin a new one"):
        go_on(tmp_path / "run")


def test_a_folder_that_vanishes_ends_in_one_message(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike(monkeypatch, 2, lambda _state: shutil.rmtree(tmp_path / "run"))
    with pytest.raises(OutputError, match="cannot write to"):
        begin(data, tmp_path / "run")


def test_a_folder_that_was_moved_is_not_begun_anew(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run may be in the folder that has its name now, and would lose its files to this one."""

    def move(_state: State) -> None:
        (tmp_path / "run").rename(tmp_path / "moved")
        (tmp_path / "run").mkdir()

    strike(monkeypatch, 4, move)
    with pytest.raises(MovedError, match="was moved while this run wrote into it"):
        begin(data, tmp_path / "run", save_every=0)
    assert not list((tmp_path / "run").iterdir())
    assert checkpoint.read(tmp_path / "moved" / "gen.pt")[0].training["steps"] == 3


def test_a_generator_without_what_goes_on_is_told_of(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail(monkeypatch, train.run_folder, "save_state", errno.ENOSPC)
    with pytest.raises(
        OutputError, match=r"No space left.*\ngen\.pt of step 6 is whole, but nothing to go on"
    ):
        begin(data, tmp_path / "run")
    with pytest.raises(
        ResumeError, match=r"begin a new one in another folder, with --start-from its gen\.pt"
    ):
        go_on(tmp_path / "run")


def test_a_read_only_place_is_named_before_any_training(data: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot write to /proc/.*\nnothing was saved yet"):
        begin(data, Path("/proc/run"))


@torch.no_grad()
def spoil(state: State, value: float) -> None:
    next(state.generator.parameters()).fill_(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_never_saved(
    value: float, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strike(monkeypatch, 4, lambda state: spoil(state, value))
    with pytest.raises(DivergedError, match=r"diverged.*step 3 is whole.*\n.*--lr 5e-05"):
        begin(data, tmp_path / "run", save_every=0)
    assert checkpoint.read(tmp_path / "run" / "gen.pt")[0].training["steps"] == 3


def test_exploding_losses_end_the_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DivergedError, match=r"the run diverged before step \d+: a loss is .*\n.*--data .*--lr "
    ):
        begin(data, tmp_path / "run", lr=1e3, steps=40)


def test_other_data_are_refused_with_both_named(data: Path, finished: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "others", seed=1)
    with pytest.raises(ResumeError, match=r"the data differ: the run began with boxes .*others"):
        run(Request(data=str(other), resume=finished))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("lr", 0.5, "--lr 0.5 differs from the run's 0.00"),
        ("steps", 5, "--steps 5 differs from the run's 6"),
        ("batch_size", 8, "--batch-size 8 differs from the run's 6"),
        ("lr_ratio", 2.0, "--lr-ratio 2.0 differs from the run's 3.0"),
        ("gamma", 0.3, "--gamma 0.3 differs from the run's 0.1"),
        ("seed", 1, "--seed 1 differs from the run's 0"),
        ("arch", "tutorial", "--arch tutorial differs from the run's digits"),
        ("minutes", 1.0, "--minutes 1.0 is no bound that the run began with"),
    ],
)
def test_other_settings_are_refused_with_both_named(
    name: str, value: object, message: str, finished: Path
) -> None:
    with pytest.raises(ResumeError, match=message):
        go_on(finished, **{name: value})


def test_a_finished_run_is_trained_further(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("whole", "killed"):
        shutil.copytree(finished, tmp_path / name)
    go_on(tmp_path / "whole", steps=9)
    lines = read_metrics(tmp_path / "whole")
    assert [line["step"] for line in lines] == list(range(1, 10))
    assert lines[6]["lr"] > lines[5]["lr"], "the rate follows the longer run"
    trained, _ = checkpoint.read(tmp_path / "whole" / "gen.pt")
    config = json.loads((tmp_path / "whole" / "config.json").read_text())
    for facts in (trained.training, config):
        assert facts["settings"]["steps"] == 9
        assert facts["settings"]["extended_at"] == 6
    with monkeypatch.context() as patch:
        strike(patch, 8, send(signal.SIGTERM))
        with pytest.raises(InterruptedRunError):
            go_on(tmp_path / "killed", steps=9)
    go_on(tmp_path / "killed")
    assert_same_weights(tmp_path / "killed", tmp_path / "whole")


def test_a_run_trained_further_knows_its_length_before_its_next_checkpoint(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    with monkeypatch.context() as patch:
        strike(patch, 7, send_twice(signal.SIGINT))
        with pytest.raises(InterruptedRunError, match=r"saved at step 6 is whole; go on with: .*--resume "):
            go_on(folder, steps=9)
    go_on(folder)
    assert checkpoint.read(folder / "gen.pt")[0].training["steps"] == 9


def test_a_run_from_another_kind_of_device_goes_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        strike(patch, 3, send(signal.SIGTERM))
        with pytest.raises(InterruptedRunError):
            begin(data, folder)
    saved = torch.load(folder / "resume.pt", weights_only=True)
    saved["facts"]["device"] = saved["facts"]["settings"]["device"] = "cuda"
    saved["random"] = torch.zeros(16, dtype=torch.uint8)  # the size of a CUDA generator's state
    with monkeypatch.context() as patch:
        patch.setattr("torch.serialization.location_tag", lambda _: "cuda:0")
        torch.save(saved, folder / "resume.pt")
    seeds: list[int] = []
    strike(monkeypatch, 4, lambda state: seeds.append(state.random.initial_seed()))
    go_on(folder, device="cpu")
    assert seeds == [3], "with the run's own seed it would draw its first digits and latents again"
    assert "device: cpu now, cuda before" in "".join(capsys.readouterr())
    assert checkpoint.read(folder / "gen.pt")[0].training["steps"] == 6


def test_a_run_with_a_wider_discriminator_goes_on(data: Path, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    begin(data, folder, discriminator_width=2)
    go_on(folder, steps=8)
    wide, usual = (
        torch.load(run / "resume.pt", weights_only=True)["discriminator"]["logit.weight"].shape[1]
        for run in (folder, finished)
    )
    assert wide == 2 * usual


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "foreign"])
def test_a_damaged_checkpoint_is_refused_in_one_line(damage: str, finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    content = (finished / "resume.pt").read_bytes()
    if damage == "foreign":
        torch.save({"format": 1}, folder / "resume.pt")
    elif damage != "missing":
        (folder / "resume.pt").write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(ResumeError) as refused:
        go_on(folder)
    assert "\n" not in str(refused.value)


def test_a_run_is_not_overwritten(data: Path, finished: Path) -> None:
    with pytest.raises(UsageError, match="already holds a run: go on with it"):
        begin(data, finished)
    with pytest.raises(UsageError, match="already holds a run"):
        begin(data / "nowhere", finished)  # told before the data are looked for


@pytest.mark.parametrize("name", ["config.json", "gen.pt", "samples"])
def test_files_of_others_are_not_overwritten(name: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=f"already holds a {name}: move it away, or choose another --out"):
        begin(data, tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_two_runs_do_not_share_a_folder(data: Path, finished: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    with claim(folder), pytest.raises(UsageError, match="another process is training in "):
        go_on(folder)
    go_on(folder)
    with claim(tmp_path / "new"), pytest.raises(UsageError, match="another process is training in "):
        begin(data, tmp_path / "new")


def test_the_command_after_an_explosion_is_that_of_the_run() -> None:
    config = make_config("digits", {"lr": 1e6, "steps": 9, "lr_ratio": 2.0, "gamma": 0.3, "seed": 3})
    usual = f"{make_config('digits', {}).lr:g}"
    assert slower_command(config, "/my data") == (
        "python -m train --data '/my data' --arch digits --steps 9 --lr-ratio 2.0 --gamma 0.3 --seed 3 "
        f"--lr {usual}"
    )


def test_too_large_a_batch_is_one_message(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhaust(_state: State) -> None:
        torch.empty(2**60)

    strike(monkeypatch, 2, exhaust)
    with pytest.raises(OutOfMemoryError, match=r"not enough memory .*--batch-size 6; nothing was saved yet"):
        begin(data, tmp_path / "run")


def test_a_run_that_another_process_went_on_with_meanwhile_is_read_again(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, load_in_turn = shutil.copytree(finished, tmp_path / "run"), train.session.load_in_turn

    def load_slowly(*passed: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(train.session, "load_in_turn", load_in_turn)
            go_on(folder, steps=8)
        return load_in_turn(*passed)

    monkeypatch.setattr(train.session, "load_in_turn", load_slowly)
    with pytest.raises(
        ResumeError, match=r"another process went on with .*run just now: resume it once more"
    ):
        go_on(folder)
    assert [line["step"] for line in read_metrics(folder)] == list(range(1, 9))
    assert checkpoint.read(folder / "gen.pt")[0].training["settings"]["steps"] == 8


def test_legible_digits_need_labels(tmp_path: Path) -> None:
    data = write_folder(tmp_path / "unlabelled")
    (data / LABELS).unlink()
    with pytest.raises(UsageError, match="--legible needs labels, and unlabelled has none"):
        begin(data, tmp_path / "run", legible=0.1)
    assert not (tmp_path / "run").exists()


def test_a_run_starts_with_the_generator_of_another(data: Path, finished: Path, tmp_path: Path) -> None:
    parent, sha256 = checkpoint.read(finished / "gen.pt")
    folder = begin_from(data, finished, tmp_path / "second", lr=1e-12, steps=2)
    config = json.loads((folder / "config.json").read_text())["settings"]
    assert config["start_from"] == str(finished / "gen.pt")
    assert config["start_sha256"] == sha256
    assert [line["step"] for line in read_metrics(folder)] == [1, 2], "it is a run of its own"
    child = checkpoint.read(folder / "gen.pt")[0]
    told = child.training["settings"]["start_from"]
    assert told == f"{finished.name}/gen.pt", "nobody else's business is where that lies"
    for name, tensor in parent.weights.items():
        assert torch.allclose(child.weights[name], tensor, atol=1e-6), name


@pytest.mark.parametrize(("given", "ratio"), [({}, 1.0), ({"lr_ratio": 0.2}, 0.2)])
def test_a_trained_generator_goes_on_at_the_rate_of_its_opponent(
    given: dict[str, float], ratio: float, data: Path, finished: Path, tmp_path: Path
) -> None:
    folder = begin_from(data, finished, tmp_path / "second", steps=1, **given)
    assert json.loads((folder / "config.json").read_text())["settings"]["lr_ratio"] == ratio


def test_a_started_run_ends_alike_with_and_without_a_pause(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = begin_from(data, finished, tmp_path / "whole")
    with monkeypatch.context() as patch:
        strike(patch, 3, send(signal.SIGTERM))
        with pytest.raises(InterruptedRunError):
            begin_from(data, finished, tmp_path / "paused")
    go_on(tmp_path / "paused")
    assert_same_weights(whole, tmp_path / "paused")


def test_a_run_cannot_go_on_and_start_at_once(finished: Path) -> None:
    with pytest.raises(UsageError, match="--resume and --start-from exclude each other"):
        run(Request(resume=finished, start_from=finished / "gen.pt"))


def test_a_file_that_is_no_generator_is_refused(data: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"cannot use checkpoint .*resume\.pt"):
        run(Request(str(data), tmp_path / "run", None, TINY, start_from=finished / "resume.pt"))
    assert not (tmp_path / "run").exists()


def test_a_generator_of_other_classes_is_refused(finished: Path, tmp_path: Path) -> None:
    others = write_folder(tmp_path / "others", (5, 6, 7))
    with pytest.raises(
        ResumeError, match=r"cannot start from .*: it draws the classes 0 1 2, and these .* 5 6 7"
    ):
        begin_from(others, finished, tmp_path / "run")


def test_a_generator_of_another_architecture_is_refused(data: Path, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ResumeError, match=r"cannot start from .*gen\.pt: it holds DigitsConfig.*--arch"):
        begin_from(data, finished, tmp_path / "run", arch="tutorial")
    assert not (tmp_path / "run").exists()
