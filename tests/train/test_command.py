"""The command line: its options, exit codes and one-line errors."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import train.session
from mnist_sample.errors import OutputError, UsageError
from tests.calling import call
from tests.environment import MISSING, environment, run_with_torch
from tests.train.running import begin
from train.command import run_command
from train.config import DEFAULTS, TUTORIAL_PRINTED, make_config
from train.device import choose_device
from train.interruption import hold_ctrl_c
from train.session import name_folder


def test_a_run_ends_with_the_export_command(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ("--data", data, "--steps", 2, "--batch-size", 4, "--device", "cpu", "--out", out)
    assert call(monkeypatch, run_command, *arguments) == 0
    said = capsys.readouterr()
    assert f"python -m export {shlex.join([f'{out}/gen.pt', f'{out}/gen.onnx'])}" in said.out
    assert "Training digits on 48 digits of boxes (3 classes): 2 steps on cpu, seed 0" in said.err


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' names are text")
def test_a_folder_is_named_by_its_bytes(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run\udcff")
    with (tmp_path / "said").open("w", encoding="utf-8") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert call(monkeypatch, run_command, "--resume", folder) == 0
    assert os.fsencode(folder / "gen.pt") in (tmp_path / "said").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_stdout_is_one_line_after_a_whole_run(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert call(monkeypatch, run_command, "--resume", folder) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"cannot write to stdout: No space left on device; the run in {folder} is complete"


def test_a_folder_s_name_that_stdout_has_no_letters_for(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(finished, tmp_path / "한글")
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="cp1252", write_through=True))
    assert call(monkeypatch, run_command, "--resume", folder) == 0
    assert b"python -m export" in written.getvalue()
    assert b"\\ud55c\\uae00" in written.getvalue()


@pytest.mark.parametrize("module", ["train", "train.evaluate", "train.average", "train.tidy"])
def test_help_that_cannot_be_written_and_wrong_usage_are_one_line(module: str) -> None:
    command = [sys.executable, "-m", module]
    with Path("/dev/full").open("w") as full:
        told = subprocess.run(
            [*command, "--help"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            check=False,
        )
    assert (told.returncode, told.stderr) == (1, "cannot write stdout: No space left on device\n")
    short, long = (
        subprocess.run([*command, option], capture_output=True, text=True, env=environment(), check=False)
        for option in ("-h", "--help")
    )
    assert (short.returncode, short.stdout) == (0, long.stdout)
    wrong = subprocess.run(
        [*command, "--wrong"], capture_output=True, text=True, env=environment(), check=False
    )
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.endswith(f"; see python -m {module} --help\n")
    assert wrong.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("module", "arguments"),
    [
        ("train", ["--steps", "1"]),
        ("train.evaluate", ["gen.pt"]),
        ("train.evaluate.classifier", []),
        ("train.average", ["one.pt", "two.pt", "--out", "gen.pt"]),
        ("train.tidy", ["one.pt", "--out", "gen.pt"]),
    ],
)
def test_a_missing_package_is_one_line(module: str, arguments: list[str], tmp_path: Path) -> None:
    refused = run_with_torch(MISSING, tmp_path, module, *arguments)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == 'the package torch is missing: pip install -e ".[train]"\n'


@pytest.mark.parametrize("unheard", ["2>&-", "2>/dev/full"])
def test_wrong_usage_that_nobody_hears_has_its_exit_code(unheard: str) -> None:
    shell = ["sh", "-c", f'exec "$@" {unheard}', "sh", sys.executable, "-m", "train", "--wrong"]
    done = subprocess.run(shell, stdout=subprocess.PIPE, env=environment(), check=False)
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--steps", "0"], 2, "--steps must be from 1 to 1,000,000,000,000"),
        (["--steps", str(10**19)], 2, "--steps must be from 1 to 1,000,000,000,000"),
        (["--save-every", "nan"], 2, "nan is no number"),
        (["--lr", "nan"], 2, "--lr must be a number above 0"),
        (["--lr-ratio", "0"], 2, "--lr-ratio must be a number above 0"),
        (["--gamma", "-1"], 2, "--gamma must be 0 or more"),
        (["--entropy", "nan"], 2, "--entropy must be 0 or more"),
        (["--legible", "-1"], 2, "--legible must be 0 or more"),
        (["--latent-std", "1.1"], 2, "--latent-std must be above 0 and at most 1"),
        (["--warp", "1.1"], 2, "--warp must be from 0 to 1"),
        (["--warp", "nan"], 2, "--warp must be from 0 to 1"),
        (["--discriminator-width", "3"], 2, "--discriminator-width must be from 1 to 2"),
        (["--arch", "tutorial", "--gamma", "1"], 2, "--gamma: --arch tutorial has no use for it"),
        (
            ["--arch", "tutorial", "--discriminator-width", "2"],
            2,
            "--discriminator-width: --arch tutorial has no use for it",
        ),
        (["--minutes", "nan"], 2, "--minutes must be above 0"),
        (["--batch-size", "1"], 2, "--batch-size must be from 2"),
        (["--seed", "-1"], 2, "--seed must be from 0"),
        (["--arch", "resnet"], 2, "unknown architecture 'resnet': choose from digits, tutorial"),
        (["--device", "tpu"], 2, "unknown device 'tpu'"),
        (["--data", ""], 2, "--data is empty"),
        (["--data", "/nowhere"], 1, "there is no folder /nowhere"),
        (["--out", "a" * 300], 1, "File name too long"),
        (["--out", ""], 2, "--out': is empty"),
        (["--resume", ""], 2, "--resume': is empty"),
        (["--resume", "/nowhere"], 1, "cannot read /nowhere/resume.pt"),
        (["--wrong"], 2, "No such option"),
    ],
)
def test_a_wrong_request_is_one_line_and_an_exit_code(
    arguments: list[str],
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call(monkeypatch, run_command, *arguments) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_a_strangers_run_cannot_steer_the_terminal(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    saved = torch.load(folder / "resume.pt", weights_only=True)
    saved["facts"]["source"] = "\x1b[2J/none"
    torch.save(saved, folder / "resume.pt")
    assert call(monkeypatch, run_command, "--resume", folder) == 1
    said = capsys.readouterr().err
    assert "there is no folder ?[2J/none" in said
    assert all(line.isprintable() for line in said.splitlines())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_before_the_training_is_one_line(
    number: signal.Signals,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(train.session, "load_dataset", lambda *_: signal.raise_signal(number))
    assert call(monkeypatch, run_command, "--out", tmp_path / "run") == 128 + number
    assert capsys.readouterr().err == "stopped before the training began\n"
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_waits_for_an_imports_end() -> None:
    imported = False

    def import_slowly() -> None:
        nonlocal imported
        with hold_ctrl_c():
            signal.raise_signal(signal.SIGINT)
            imported = True

    with pytest.raises(KeyboardInterrupt):
        import_slowly()
    assert imported


def test_a_run_stays_in_its_folder(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, run_command, "--resume", finished, "--out", "elsewhere") == 2
    assert "--out and --resume exclude each other" in capsys.readouterr().err


def test_cuda_is_not_replaced_in_silence() -> None:
    with pytest.raises(UsageError, match="no usable CUDA device here; use --device cpu"):
        choose_device("cuda")
    assert choose_device("auto").type == "cpu"


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device(None) == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(UsageError, match="2 GPUs here: start no more processes than that"):
        choose_device(None)


def test_the_tutorials_printed_setting_is_reached_by_its_rate() -> None:
    assert make_config("tutorial", {"lr": 0.01}) == TUTORIAL_PRINTED
    assert not TUTORIAL_PRINTED.still_head
    assert make_config("tutorial", {"lr": 0.005}).still_head


def test_minutes_alone_set_no_bound_of_steps(data: Path, tmp_path: Path) -> None:
    assert make_config("digits", {"minutes": 1.0}).steps is None
    assert make_config("digits", {"minutes": 1.0, "steps": 5}).steps == 5
    assert make_config("digits", {}).steps == DEFAULTS["digits"].steps
    begin(data, tmp_path / "run", steps=None, minutes=1e-3)
    assert (tmp_path / "run" / "result.png").exists()


def test_a_folders_name_is_not_taken_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train.session, "RUNS", tmp_path)
    monkeypatch.setattr("train.session.time.strftime", lambda _form: "now")
    names = [name_folder().name for _ in range(3)]
    assert names == ["now", "now-2", "now-3"] == sorted(path.name for path in tmp_path.iterdir())
    nowhere = tmp_path / "link"
    nowhere.symlink_to(tmp_path / "unmounted")
    monkeypatch.setattr(train.session, "RUNS", nowhere)
    with pytest.raises(OutputError, match=r"cannot write to .*link/now: .*: choose another --out"):
        name_folder()
    monkeypatch.setattr(train.session, "RUNS", Path("/proc/runs"))
    with pytest.raises(OutputError, match=r"cannot write to /proc/runs/now: .*: choose another --out"):
        name_folder()


def test_help_and_a_wrong_option_do_not_wait_for_pytorch() -> None:
    code = "import sys, train.command; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0
