"""What makes no sense is refused in a line or two with the right exit code, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mnist_sample.cli import run_arguments
from mnist_sample.errors import OutputError
from mnist_sample.files import check_target

USAGE = [
    (["--n", "0"], "--n 0 makes no digits"),
    (["--n", "-3"], "--n -3 makes no digits"),
    (["--n", "many"], "'many' is not a valid int"),
    (["--n", "1" + "0" * 30], "out of range"),
    (["--start", "1", "--n", "9" * 4300], "out of range"),
    (["--seed", "-1"], "seed -1 is out of range"),
    (["--seed", str(2**64)], "2**64 - 1"),
    (["--start", "-1"], "out of range"),
    (["--start", str(2**63 - 1)], "out of range"),
    (["--digits", "20x6"], "cannot draw 'x', only 0123456789"),
    (["--digits", "\u0661"], "cannot draw"),
    (["--digits", ""], "at least one digit"),
    (["--out", ""], "--out is empty"),
    (["--out", "a.jpg"], "cannot tell a format"),
    (["--out", "digits"], "cannot tell a format"),
    (["--out", "a.npz", "--format", "gif"], "contradicts the suffix"),
    (["--out", "folder/", "--format", "npz"], "is a folder"),
    (["--out", "a.npz", "--format", "idx"], "contradicts the suffix"),
    (["--out", "-", "--format", "idx"], "cannot go to stdout"),
    (["--out", "i", "--format", "idx", "--start", str(2**62 - 1), "--n", "1"], "an idx folder holds"),
    (["--format", "bmp"], "'bmp' is not one of"),
    (["--truncation", "-0.1"], "out of range"),
    (["--truncation", "2.1"], "out of range"),
    (["--truncation", "nan"], "out of range"),
    (["--columns", "0"], "--columns 0"),
    (["--scale", "1001"], "--scale 1001"),
    (["--columns", "3", "--out", "a.npz"], "--columns is for a sheet"),
    (["--scale", "3", "--out", "a.npy"], "--scale is for pictures"),
    (["--n", "200000"], "too large for one picture"),
    (["--n", "10000", "--out", "a.gif"], "too long for a GIF"),
    (["--scale", "400", "--out", "folder/"], "too large for pictures"),
    (["--threads", "0"], "0 threads"),
    (["--threads", "1025"], "use 1 to 1024"),
    (["--batch-size", "0"], "batch size 0"),
    (["--batch-size", "65537"], "use 1 to 65536"),
    (["--provider", "tpu"], "'tpu' is not one of"),
    (["--nope"], "No such option"),
    (["stray"], "unexpected extra argument"),
    (["--n"], "requires an argument"),
]

FAILURES = [
    (["--out", "missing/a.png"], "make it first"),
    (["--out", "file.txt/a.png"], "cannot write file.txt/a.png"),
    (["--out", "a" * 300 + ".png"], "a.png: File name too long"),
    (["--out", "file.txt/folder/"], "cannot write"),
    (["--out", "file.txt", "--format", "idx"], "cannot write"),
    (["--n", str(10**13), "--out", "a.npz"], "8 PB as npz, but . has"),
    (["--n", str(10**13), "--out", "a.npy"], "take 7.84 PB"),
    (["--n", str(10**13), "--out", "folder/"], "take 41 PB"),
    (["--n", str(10**9), "--out", "folder/", "--scale", "100"], "take 36.9 TB"),
    (["--n", str(2**32 - 1), "--out", "i", "--format", "idx"], "ask for fewer"),
]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with one file in it, on a disk of 1 TB."""
    (tmp_path / "file.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    usage = shutil.disk_usage(tmp_path)._replace(free=10**12)
    monkeypatch.setattr("mnist_sample.writing.shutil.disk_usage", lambda _: usage)
    return tmp_path


def refuse(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run the command, which must print nothing but one or two lines of complaint."""
    code = run_arguments(arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mnist-sample: ")
    assert len(err.splitlines()) <= 2
    assert "Traceback" not in err
    return code, err


@pytest.mark.parametrize(("arguments", "words"), USAGE, ids=lambda value: str(value)[:40])
def test_wrong_usage_exits_with_2(
    desk: Path, conditional: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, message = refuse(["--model", str(conditional), *arguments], capsys)
    assert code == 2
    assert words in message
    assert [path.name for path in desk.rglob("*")] == ["file.txt"]


@pytest.mark.parametrize(("arguments", "words"), FAILURES, ids=lambda value: str(value)[:40])
def test_failed_work_exits_with_1(
    desk: Path, conditional: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, message = refuse(["--model", str(conditional), "--provider", "cpu", *arguments], capsys)
    assert code == 1
    assert words in message
    assert [path.name for path in desk.rglob("*")] == ["file.txt"]
    assert (desk / "file.txt").read_text() == "mine"


def test_a_link_that_leads_nowhere_but_to_itself(
    desk: Path, conditional: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "loop.png").symlink_to("loop.png")
    code, message = refuse(["--model", str(conditional), "--out", "loop.png"], capsys)
    assert code == 1
    assert "cannot write loop.png: Too many levels" in message
    assert (desk / "loop.png").is_symlink()


def test_a_folder_without_permission(
    desk: Path, conditional: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_sample.files.os.access", lambda _, mode: mode != os.W_OK)
    code, message = refuse(["--model", str(conditional)], capsys)
    assert code == 1
    assert "no permission to write" in message


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--digits", "12"], "unconditional"), (["--format", "idx", "--out", "i"], "labels")],
)
def test_what_an_unconditional_model_cannot_do(
    desk: Path, unconditional: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    code, message = refuse(["--model", str(unconditional), *arguments], capsys)
    assert code == 2
    assert words in message
    assert [path.name for path in desk.rglob("*")] == ["file.txt"]


def test_no_bytes_into_a_terminal(
    desk: Path, conditional: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    code, message = refuse(["--model", str(conditional), "--out", "-", "--no-show"], capsys)
    assert code == 2
    assert "terminal" in message


def test_a_file_that_may_not_be_written_is_told_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other rooms ask this before minutes of work; who tests as root may write everywhere."""
    for target in (tmp_path / "new.onnx", tmp_path / "old.onnx"):
        if target.stem == "old":
            target.touch()
        check_target(target, [])
        with monkeypatch.context() as patch:
            patch.setattr("os.access", lambda path, mode: mode != os.W_OK)
            with pytest.raises(
                OutputError, match=f"cannot write {target}: no permission to write in {tmp_path};"
            ):
                check_target(target, [])


def test_a_file_where_a_folder_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits").touch()
    assert run_arguments(["--out", f"{tmp_path}/digits/"]) == 1
    assert "it is no folder; remove it, or name another" in capsys.readouterr().err
