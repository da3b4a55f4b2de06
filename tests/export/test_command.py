"""The command as a user runs it: exit codes, one line of error, no traceback, no file."""

from __future__ import annotations

import io
import logging
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import export.checks.whole
import export.command
from export.command import run_command
from export.run import Options
from mnist_sample import contract
from mnist_sample.modelfile import read_model
from tests.calling import call
from tests.environment import MISSING, ROOT, leftovers, run_with_torch
from tests.export.exported import Exported
from tests.models import strangers

DANGERS = (
    "code",
    "cut in half",
    "half precision",
    "a weight that is NaN",
    "a billion channels",
    "a zip bomb",
    "all weights in one element",
)
"""The files of `tests.models.strangers` that the command itself is shown; all are read by the same door."""


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """The command silences logging for its own process only."""
    yield
    logging.disable(logging.NOTSET)


def test_it_writes_a_file_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], digits: Exported, tmp_path: Path
) -> None:
    path = tmp_path / "gen.onnx"
    assert call(monkeypatch, run_command, digits.source, path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{path} written"
    assert [line.split("  ")[0] for line in lines[:-1]] == [finding.name for finding in digits.findings]
    assert path.read_bytes() == digits.content
    assert read_model(path).architecture == "digits"


@pytest.mark.parametrize(
    ("arguments", "opset", "atol"),
    [([], contract.OPSET, 5e-5), (["--opset", "20", "--atol", "2e-5"], 20, 2e-5)],
)
def test_its_options_reach_the_export(
    arguments: list[str], opset: int, atol: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Options] = []
    monkeypatch.setattr(export.command, "export", lambda _from, _to, options, _report: asked.append(options))
    assert call(monkeypatch, run_command, *arguments, tmp_path / "gen.pt", tmp_path / "gen.onnx") == 0
    assert asked == [Options(opset=opset, atol=atol, provider="cpu")]


def test_check_says_that_the_file_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], digits: Exported
) -> None:
    assert call(monkeypatch, run_command, "--check", digits.source, digits.path) == 0
    assert capsys.readouterr().out.splitlines()[-1] == f"{digits.path} holds"


def test_a_closed_stdout_keeps_nothing_from_being_done(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export", "--check", str(tmp_path / "gen.pt"), "gen.onnx"]
    shell = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    done = subprocess.run(shell, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: cannot read checkpoint {tmp_path}")


@pytest.mark.parametrize("danger", DANGERS)
def test_a_strangers_checkpoint_is_refused_in_one_line(
    danger: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    target: Path,
) -> None:
    build, words = strangers.CASES[danger]
    source = tmp_path / "gen.pt"
    source.write_bytes(build())
    monkeypatch.chdir(tmp_path)
    assert call(monkeypatch, run_command, source, target) == 1
    printed = capsys.readouterr()
    assert words in printed.err
    assert len(printed.err.splitlines()) == 1
    assert printed.out == ""
    assert target.read_bytes() == b"what stood here"
    assert not (tmp_path / strangers.MARKER).exists()


def test_a_missing_checkpoint_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(monkeypatch, run_command, tmp_path / "absent.pt", tmp_path / "gen.onnx") == 1
    error = capsys.readouterr().err
    assert re.search(r"absent\.pt: No such file or directory; check the path", error)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["absent.onnx", "noise.onnx", "gen.pt"])
def test_check_refuses_what_is_no_model(
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    digits: Exported,
    tmp_path: Path,
) -> None:
    path = tmp_path / name
    if name == "noise.onnx":
        path.write_bytes(torch.arange(1000).numpy().tobytes())
    if name == "gen.pt":
        path.write_bytes(digits.source.read_bytes())
    assert call(monkeypatch, run_command, "--check", digits.source, path) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--opset", "17"],
        ["--opset", "99"],
        ["--atol", "1"],
        ["--atol", "-1"],
        ["--atol", "nan"],
        ["--provider", "tpu"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(
    arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    positional = [tmp_path / "gen.pt", tmp_path / "gen.onnx"] if arguments else []
    assert call(monkeypatch, run_command, *arguments, *positional) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_path_that_stdout_cannot_show_is_spelt(
    encoding: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    monkeypatch.setattr(export.command, "export", lambda *_: None)
    assert call(monkeypatch, run_command, "gen.pt", "\u00f6-\udcff.onnx") == 0
    spelt = {"ascii": rb"\xf6-\udcff", "utf-8": b"\xc3\xb6-\\udcff"}[encoding]
    assert written.getvalue() == spelt + b".onnx written\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["gen.pt", "gen.onnx"], ["--help"]], ids=" ".join)
def test_a_stdout_that_takes_no_more_is_told(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        monkeypatch.setattr(export.command, "export", lambda *_: None)
        assert call(monkeypatch, run_command, *arguments) == 1
    assert capsys.readouterr().err == "error: cannot write stdout: No space left on device\n"


INTERRUPTED_IMPORTS = {
    "as it is": "signal.raise_signal(signal.SIGINT)",
    "swallowed": """
import weakref
gone = set()
weakref.ref(gone, lambda _: signal.raise_signal(signal.SIGINT))
callback = weakref.ref(gone, lambda _: signal.raise_signal(signal.SIGINT))
del gone
""",
    "turned into another error": """
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt as error:
    raise RuntimeError("Error calling __set_name__") from error
""",
}


@pytest.mark.parametrize("allocate", [np.empty, torch.empty])
def test_too_little_memory_is_one_line(
    allocate: Callable[[int], object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def exhaust(*_: object) -> None:
        allocate(2**50)

    monkeypatch.setattr(export.command, "export", exhaust)
    assert call(monkeypatch, run_command, tmp_path / "gen.pt", tmp_path / "gen.onnx") == 1
    assert capsys.readouterr().err == "error: not enough memory\n"


def test_a_missing_package_is_one_line(tmp_path: Path) -> None:
    refused = run_with_torch(MISSING, tmp_path, "export", "gen.pt", tmp_path / "gen.onnx")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == 'error: the package torch is missing: pip install -e ".[train]"\n'


@pytest.mark.parametrize("how", INTERRUPTED_IMPORTS)
def test_ctrl_c_while_torch_is_imported_ends_it_in_one_line(how: str, tmp_path: Path) -> None:
    content = f"import signal\n{INTERRUPTED_IMPORTS[how]}"
    ended = run_with_torch(content, tmp_path, "export", "gen.pt", tmp_path / "gen.onnx")
    assert ended.returncode in (130, -signal.SIGINT)  # Python itself may choose the second; shells show 130
    assert ended.stderr == "error: interrupted; nothing half-written is left\n"
    assert ended.stdout == ""


@pytest.mark.parametrize("module", ["export.command", "train.evaluate.features"])
def test_onnxruntime_keeps_no_record_here_either(module: str, tmp_path: Path) -> None:
    assert leftovers(tmp_path, "-c", f"import {module}") == []
