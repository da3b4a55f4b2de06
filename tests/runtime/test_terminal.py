"""The picture in the terminal and the line of progress."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest

from mnist_sample import progress
from mnist_sample.cli import run_arguments
from mnist_sample.sampler import Samples
from mnist_sample.terminal import Depth, detect_depth, draw_terminal


@pytest.mark.parametrize(
    ("environment", "encoding", "depth"),
    [
        ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, "utf-8", "truecolor"),
        ({"TERM": "xterm-256color"}, "utf-8", "256"),
        ({"TERM": "xterm"}, "utf-8", "16"),
        ({"TERM": "dumb", "COLORTERM": "truecolor"}, "utf-8", "none"),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, "utf-8", "none"),
        ({"TERM": "xterm-256color"}, "ascii", "none"),
        ({"TERM": "xterm-256color"}, "no-such-encoding", "none"),
        ({"WT_SESSION": "1"}, "utf-8", "truecolor"),
    ],
)
def test_colour_depth(environment: dict[str, str], encoding: str, depth: Depth) -> None:
    assert detect_depth(environment, encoding) == depth


def a_picture() -> np.ndarray:
    """Ink in the upper half of the left half, grey below it."""
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, :14, :14] = 255
    image[0, 14:, :14] = 128
    return image


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


@pytest.mark.parametrize(
    ("depth", "ink", "paper"),
    [
        ("truecolor", "\x1b[38;2;255;255;255;48;2;255;255;255m", "\x1b[38;2;0;0;0;48;2;0;0;0m"),
        ("256", "\x1b[38;5;231;48;5;231m", "\x1b[38;5;16;48;5;16m"),
        ("16", "\x1b[97;107m", "\x1b[30;40m"),
    ],
)
def test_half_blocks_show_two_pixels_each(depth: Depth, ink: str, paper: str) -> None:
    lines = draw_terminal(a_picture(), 1, 80, depth).split("\n")
    assert len(lines) == 14
    assert {plain(line) for line in lines} == {"▀" * 28}
    assert lines[0] == f"{ink}{'▀' * 14}{paper}{'▀' * 14}\x1b[0m"
    assert lines[13] != lines[0]


def test_without_colours_the_picture_is_ascii() -> None:
    lines = draw_terminal(a_picture(), 1, 80, "none").split("\n")
    assert lines[0] == "@" * 14
    assert lines[13] == "+" * 14
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize(("width", "shown"), [(20, 3), (80, 6), (300, 30)])
def test_what_does_not_fit_is_counted(width: int, shown: int) -> None:
    images = np.repeat(a_picture(), 64, axis=0)
    lines = draw_terminal(images, 1000, width, "none").split("\n")
    assert lines[-1] == f"... and {1000 - shown} more"
    assert max(map(len, lines)) <= max(width, 28)


def test_nothing_is_drawn_into_a_pipe(
    conditional: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(conditional), "--provider", "cpu", "--out", f"{tmp_path}/a.png"]
    assert run_arguments(arguments) == 0
    assert capsys.readouterr().out == ""
    assert run_arguments([*arguments, "--show"]) == 0
    assert capsys.readouterr().out.count("\n") > 14


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """Run the command with stdout and stderr on a pseudo-terminal and return what it shows."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mnist_sample", *arguments],
        stdout=terminal,
        stderr=terminal,
        env={**os.environ, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **environment},
    )
    os.close(terminal)
    shown = b""
    try:
        while part := os.read(controller, 65_536):
            shown += part
    except OSError:  # Linux's way to say that the other side has closed
        pass
    os.close(controller)
    assert process.wait() == 0
    return shown.decode()


def test_a_terminal_shows_the_digits(conditional: Path, tmp_path: Path) -> None:
    arguments = ["--model", str(conditional), "--provider", "cpu", "--n", "2", "--out", f"{tmp_path}/a.png"]
    shown = on_a_terminal(arguments, TERM="xterm-256color", COLORTERM="", NO_COLOR="")
    lines = plain(shown).splitlines()
    assert lines[:14] == ["▀" * 56] * 14
    assert "\x1b[38;5;" in shown
    assert lines[14].endswith("drawn on CPU")
    assert on_a_terminal([*arguments, "--quiet"], TERM="xterm") == ""
    assert on_a_terminal([*arguments, "--quiet", "--show"], TERM="dumb").count("\n") == 14


class PretendClock:
    """Every look at it takes half a second."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 0.5
        return self.now


def follow(batches: int, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(progress, "time", PretendClock())
    stream = io.StringIO()
    drawn = [Samples(np.zeros((10, 28, 28), np.uint8), np.zeros(10, np.int64))] * batches
    assert list(progress.track(drawn, 10 * batches, stream)) == drawn
    return stream.getvalue()


def test_progress_tells_speed_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = follow(4, monkeypatch).split("\r\x1b[K")
    assert lines == [
        "",
        " 50% 20 of 40, 20 images/s, 0:01 left",
        " 75% 30 of 40, 20 images/s, 0:00 left",
        "100% 40 of 40, 20 images/s, 0:00 left",
        "",
    ]


def test_progress_keeps_to_one_line_of_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "time", PretendClock())
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 30, 0, 0))
    with os.fdopen(terminal, "w") as stream:
        drawn = [Samples(np.zeros((10, 28, 28), np.uint8), np.zeros(10, np.int64))] * 4
        list(progress.track(drawn, 40, stream))
        shown = os.read(controller, 65_536).decode()
    os.close(controller)
    assert shown.split("\r\x1b[K")[1] == " 50% 20 of 40, 20 images/s, 0:01"[:29]


class OnTerminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_a_terminal_that_knows_no_codes_gets_none(
    conditional: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, term: str
) -> None:
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(sys, "stderr", OnTerminal())
    monkeypatch.setenv("TERM", term)
    arguments = ["--model", str(conditional), "--provider", "cpu", "--n", "100", "--out", f"{tmp_path}/a.npy"]
    assert run_arguments(arguments) == 0
    assert isinstance(sys.stderr, OnTerminal)
    assert ("\x1b" in sys.stderr.getvalue()) == (term != "dumb")


class ClosedTerminal(io.StringIO):
    """What stderr is once its terminal's window has been closed."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_work_goes_on_when_its_terminal_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "time", PretendClock())
    drawn = [Samples(np.zeros((10, 28, 28), np.uint8), np.zeros(10, np.int64))] * 4
    stream = ClosedTerminal()
    assert list(progress.track(drawn, 40, stream)) == drawn
    assert stream.writes == 1, "nobody will ever see the line"


def test_quick_work_shows_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    assert follow(1, monkeypatch) == ""


def test_long_work_tells_hours() -> None:
    assert progress.describe_progress(10, 100_010, 1.0).endswith("2:46:40 left")
