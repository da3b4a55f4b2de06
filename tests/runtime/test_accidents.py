"""Killed, interrupted, out of disk or failing half-way: what stood there before stands there still."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import signal
import struct
import subprocess
import sys
import termios
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mnist_sample.cli import run_arguments
from mnist_sample.errors import ProviderError
from mnist_sample.files import locked
from mnist_sample.process import signals_held
from mnist_sample.sampler import Sampler
from mnist_sample.session import run_graph
from tests.environment import environment

SMALL = ["--batch-size", "8", "--threads", "1", "--provider", "cpu"]
TARGETS = {
    "png": ["--out", "target.png", "--n", "100"],
    "npz": ["--out", "target.npz", "--n", "100"],
    "npy": ["--out", "target.npy", "--n", "100"],
    "gif": ["--out", "target.gif", "--n", "10"],
    "idx": ["--out", "target", "--n", "100", "--format", "idx"],
    "folder": ["--out", "target/", "--n", "100"],
    "new folder": ["--out", "new/target/", "--n", "100"],
}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
WAIT_SECONDS = 60
"""For an orphan to end, on however busy a machine; it would stay for ever."""


@pytest.fixture(params=list(TARGETS.values()), ids=list(TARGETS))
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Options for one output, whose files stand there from an earlier run."""
    monkeypatch.chdir(tmp_path)
    for kind in ("png", "npz", "npy", "gif"):
        (tmp_path / f"target.{kind}").write_bytes(b"earlier")
    raw = tmp_path / "target" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (raw / name).write_bytes(b"earlier")
    (tmp_path / "target" / "seed0_index00000000_digit0.png").write_bytes(b"earlier")
    return list(request.param)


def sabotage(accident: str, *arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.runtime.saboteur", accident, *map(str, arguments)],
        env=environment(None, **changes),
        capture_output=True,
        text=True,
        check=False,
    )


def check_untouched(folder: Path, temporary: bool = False) -> None:
    """Assert that the earlier files stand there, and nothing else but, perhaps, hidden temporary files."""
    found = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    hidden = [path for path in found if any(part.startswith(".") for part in path.parts)]
    assert len(found) - len(hidden) == 7
    assert all((folder / path).read_bytes() == b"earlier" for path in found if path not in hidden)
    assert temporary or not hidden
    assert temporary or not (folder / "new").exists()


def test_killed_half_way(target: list[str], conditional: Path, tmp_path: Path) -> None:
    done = sabotage("kill", "--model", conditional, *SMALL, *target)
    assert done.returncode == -signal.SIGKILL
    check_untouched(tmp_path, temporary=True)


@pytest.mark.parametrize(("accident", "number"), [("term", signal.SIGTERM), ("hangup", signal.SIGHUP)])
def test_terminated_half_way(
    target: list[str], conditional: Path, tmp_path: Path, accident: str, number: int
) -> None:
    done = sabotage(accident, "--model", conditional, *SMALL, *target)
    assert done.returncode == 128 + number
    check_untouched(tmp_path)


def test_terminated_again_while_cleaning_up(target: list[str], conditional: Path, tmp_path: Path) -> None:
    done = sabotage("term twice", "--model", conditional, *SMALL, *target)
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr == ""
    check_untouched(tmp_path)


def test_terminated_while_workers_start(conditional: Path, tmp_path: Path) -> None:
    arguments = ["--model", conditional, *SMALL, "--threads", 2, "--n", "1000"]
    done = sabotage("term at start", *arguments, "--out", f"{tmp_path}/folder/", WORKERS="1")
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr == ""
    assert not list(tmp_path.iterdir())


def test_terminated_while_workers_write_the_last(conditional: Path, tmp_path: Path) -> None:
    """Each has many pictures in hand, of which none may come after the folder is removed."""
    arguments = ["--model", conditional, *SMALL, "--threads", 2, "--n", 256, "--scale", 20]
    done = sabotage("term at the last", *arguments, "--out", f"{tmp_path}/folder/", WORKERS="1")
    assert done.returncode == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="Windows masks no signals")
def test_processes_started_while_signals_are_held_get_none() -> None:
    program = "import signal; print(*signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with signals_held():
        done = subprocess.run(
            [sys.executable, "-S", "-c", program], stdout=subprocess.PIPE, text=True, check=True
        )
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} <= set(map(int, done.stdout.split()))


def test_interrupted_when_only_the_system_knows_the_temporary_name(
    target: list[str], conditional: Path, tmp_path: Path
) -> None:
    done = sabotage("interrupt while naming", "--model", conditional, *SMALL, *target)
    assert (done.returncode, done.stderr) == (
        130,
        "mnist-sample: interrupted; nothing half-written is left\n",
    )
    check_untouched(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
def test_workers_do_not_hear_ctrl_c() -> None:
    """A terminal sends it to all processes, and one that starts would answer with a traceback."""
    program = (
        "from mnist_sample.pngworkers import Workers; workers = Workers(1); "
        "print(open(f'/proc/{workers._processes[0].pid}/status').read()); workers.write([])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    (blocked,) = (line.split()[1] for line in done.stdout.splitlines() if line.startswith("SigBlk"))
    assert int(blocked, 16) >> (signal.SIGINT - 1) & 1


def test_a_folder_in_the_way_of_a_picture(
    conditional: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    in_the_way = tmp_path / "seed0_index00000001_digit7.png"
    out = ["--model", str(conditional), *SMALL, "--digits", "7", "--n", "3", "--out", f"{tmp_path}/"]
    in_the_way.mkdir()
    assert run_arguments(out) == 1
    said = f"mnist-sample: cannot write {in_the_way}: it is a folder; remove it, or write elsewhere\n"
    assert capsys.readouterr().err == said
    assert list(tmp_path.iterdir()) == [in_the_way]


def test_interrupted_while_pictures_take_their_places(conditional: Path, tmp_path: Path) -> None:
    arguments = ["--model", conditional, *SMALL, "--n", "20", "--out", f"{tmp_path}/"]
    assert sabotage("interrupt while renaming", *arguments).returncode == 130
    assert len(list(tmp_path.iterdir())) == 20


def test_interrupted_once_all_is_written(conditional: Path, tmp_path: Path) -> None:
    done = sabotage("interrupt at end", "--quiet", "--model", conditional, "--out", f"{tmp_path}/a.npy")
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "mnist-sample: interrupted; nothing half-written is left\n"
    assert np.load(tmp_path / "a.npy").shape == (5, 28, 28)


NEARLY_FULL = 60_000
"""Of the 65,536 bytes that a pipe takes."""
IMPATIENT = """
import sys
from mnist_sample import __main__, process
process._PATIENCE_SECONDS = 0
sys.argv = ["mnist-sample", "--model", {model!r}, "--n", "2000", "--format", "npz", "--out", "-"]
__main__.main()
"""


def test_interrupted_again_while_stuck(conditional: Path) -> None:
    """On a pipe that nobody reads, the end of the archive cannot be written either."""
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", IMPATIENT.format(model=str(conditional))], stdout=write
    ) as stuck:
        os.close(write)
        for _ in range(WAIT_SECONDS * 100):
            with contextlib.suppress(subprocess.TimeoutExpired):
                stuck.wait(0.01)
            if struct.unpack("i", fcntl.ioctl(read, termios.FIONREAD, bytes(4)))[0] >= NEARLY_FULL:
                break
        for _ in range(WAIT_SECONDS * 10):
            stuck.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                stuck.wait(0.1)
                break
        stuck.kill()
        os.close(read)
    assert stuck.returncode == 128 + signal.SIGINT


def test_who_imports_the_package_keeps_the_signals(conditional: Path, tmp_path: Path) -> None:
    def heard() -> list[Any]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]

    before = heard()
    Sampler(conditional, provider="cpu").sample(100)
    arguments = ["--model", str(conditional), "--provider", "cpu", "--quiet"]
    assert run_arguments([*arguments, "--out", f"{tmp_path}/folder/"]) == 0
    assert heard() == before


EARLY = """
import os, signal, sys

class Accident:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            try:
                os.kill(os.getpid(), signal.{name})
            except BaseException:  # as modules written in C do
                raise ImportError("initialization failed")

sys.meta_path.insert(0, Accident())
sys.argv = ["mnist-sample", "--model", {model!r}]
from mnist_sample.__main__ import main
main()
"""


@pytest.mark.parametrize(
    ("name", "message"),
    [("SIGINT", "mnist-sample: interrupted; nothing half-written is left\n"), ("SIGTERM", "")],
)
def test_ended_while_it_imports(conditional: Path, tmp_path: Path, name: str, message: str) -> None:
    script = EARLY.format(name=name, model=str(conditional))
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 128 + getattr(signal, name)
    assert done.stderr == message
    assert not list(tmp_path.iterdir())


def test_nohup_outlives_the_terminal(
    conditional: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        done = sabotage("hangup", "--model", conditional, *SMALL, "--n", "100", "--out", "a.npy")
    finally:
        signal.signal(signal.SIGHUP, before)
    assert done.returncode == 0
    assert np.load("a.npy").shape == (100, 28, 28)


def test_a_disk_that_fills_half_way(target: list[str], conditional: Path, tmp_path: Path) -> None:
    if target[1].endswith("/"):
        target = [*target, "--scale", "20"]  # one picture alone is more than the disk takes
    done = sabotage("full", "--model", conditional, *SMALL, *target)
    assert done.returncode == 1
    assert done.stderr.startswith(f"mnist-sample: cannot write {target[1].rstrip('/')}")
    assert done.stderr.count("\n") == 1
    check_untouched(tmp_path)


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (ProviderError("CUDA failed while drawing: an illegal address"), 1, "an illegal address"),
        (MemoryError(), 1, "not enough memory"),
    ],
)
def test_failing_half_way(
    target: list[str],
    conditional: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: BaseException,
    code: int,
    words: str,
) -> None:
    runs = 0

    def run(*passed: Any) -> Any:
        nonlocal runs
        runs += 1
        if runs > 2:
            raise failure
        return run_graph(*passed)

    monkeypatch.setattr("mnist_sample.sampler.run_graph", run)
    assert run_arguments(["--model", str(conditional), *SMALL, *target]) == code
    assert words in capsys.readouterr().err
    check_untouched(tmp_path)


def test_a_folder_where_an_idx_file_should_go(
    conditional: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "MNIST" / "raw"
    (raw / "train-images-idx3-ubyte").mkdir(parents=True)
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"earlier")
    arguments = ["--model", str(conditional), *SMALL, "--format", "idx", "--out", str(tmp_path)]
    assert run_arguments(arguments) == 1
    assert capsys.readouterr().err.startswith(
        f"mnist-sample: cannot write {raw / 'train-images-idx3-ubyte'}: "
    )
    assert (raw / "t10k-labels-idx1-ubyte").read_bytes() == b"earlier"
    assert len(list(raw.iterdir())) == 2


def test_no_other_process_mixes_its_idx_files_in(
    conditional: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, replace, renamed = tmp_path / "MNIST" / "raw", Path.replace, []

    def refused_to_others(path: Path, target: Path) -> Path:
        with pytest.raises(BlockingIOError), locked(raw, wait=False):
            pass
        renamed.append(target.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refused_to_others)
    arguments = ["--model", str(conditional), *SMALL, "--format", "idx", "--out", str(tmp_path)]
    assert run_arguments(arguments) == 0
    assert len(renamed) == 4
    with locked(raw, wait=False):
        pass


def test_interrupted_while_idx_files_take_their_places(conditional: Path, tmp_path: Path) -> None:
    """The labels of one run beside the images of another would be wrong, and nobody could tell."""
    arguments = ["--model", conditional, *SMALL, "--n", "20", "--format", "idx", "--out", tmp_path]
    assert sabotage("none", *arguments).returncode == 0
    earlier = {path: path.read_bytes() for path in (tmp_path / "MNIST" / "raw").iterdir()}
    assert sabotage("interrupt while renaming", *arguments, "--seed", 1).returncode == 130
    assert all(path.read_bytes() != content for path, content in earlier.items())
    assert len(list((tmp_path / "MNIST" / "raw").iterdir())) == len(earlier) == 4


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's pidfd")
def test_workers_end_with_a_killed_parent(conditional: Path, tmp_path: Path) -> None:
    arguments = ["--model", conditional, *SMALL, "--threads", 2, "--n", "100", "--out", f"{tmp_path}/folder/"]
    done = sabotage("kill", *arguments, WORKERS="1")
    workers = [int(word) for word in done.stdout.partition("\n")[0].split()]
    assert workers
    for worker in workers:
        try:
            handle = os.pidfd_open(worker)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([handle], [], [], WAIT_SECONDS)
        os.close(handle)
        assert ended


@pytest.mark.parametrize("scale", [1, 20])
def test_a_worker_that_is_killed(conditional: Path, tmp_path: Path, scale: int) -> None:
    """By the larger scale a chunk is more than a pipe holds, so that it ends while one is handed to it."""
    options = [*SMALL, "--threads", 2, "--n", 100, "--scale", scale]
    arguments = ["--model", conditional, *options, "--out", f"{tmp_path}/folder/"]
    done = sabotage("kill a worker", *arguments, WORKERS="1")
    assert done.returncode == 1
    assert done.stderr == "mnist-sample: a process that writes pictures was killed: is there enough memory?\n"
    assert not list(tmp_path.iterdir())


def test_a_system_that_starts_no_more_threads(
    conditional: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    arguments = ["--model", str(conditional), "--batch-size", "8", "--threads", "2", "--provider", "cpu"]
    assert run_arguments([*arguments, "--n", "9000", "--out", f"{tmp_path}/a.npy"]) == 1
    assert "use fewer --threads" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def run_into(stdout: Any, *arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command with `stdout`, and with `options` of its process; return what it complained of."""
    command = [sys.executable, "-m", "mnist_sample", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False, **options)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_disk_that_takes_a_part_from_stdout(conditional: Path, tmp_path: Path, unbuffered: str) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        done = run_into(
            file,
            *("--model", conditional, "--out=-", "--format=npy", "-n100"),
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        )
    assert done.returncode == 1
    assert done.stderr == "mnist-sample: cannot write stdout: File too large\n"


@pytest.mark.parametrize("option", ["--out=-", "--version", "--help", "--info"])
def test_a_full_disk_behind_stdout(conditional: Path, option: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run_into(full, "--model", conditional, option)
    assert done.returncode == 1
    assert done.stderr == "mnist-sample: cannot write stdout: No space left on device\n"


@pytest.mark.parametrize(
    ("closed", "output", "code", "words"),
    [
        (1, "digits.png", 0, "digits.png: seed 0"),
        (1, "-", 1, "cannot write stdout"),
        (2, "digits.png", 0, ""),
        (2, "-", 0, ""),
    ],
)
def test_started_without_a_standard_stream(
    conditional: Path, tmp_path: Path, closed: int, output: str, code: int, words: str
) -> None:
    command = [sys.executable, "-m", "mnist_sample", "--model", str(conditional), "--out", output]
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}>&-', "sh", *command], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == code
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    pictures = [path.read_bytes() for path in tmp_path.iterdir()] if output != "-" else [done.stdout]
    assert [picture.startswith(PNG_SIGNATURE) for picture in pictures] == [code == 0]


def test_a_package_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('libonnx.so: failed to map segment\\nmore')")
    done = subprocess.run(
        [sys.executable, "-m", "mnist_sample", "--n", "1", "--out", tmp_path / "a.png"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    said = "cannot start: libonnx.so: failed to map segment; install mnist-sample again, or free memory"
    assert (done.returncode, done.stderr) == (1, f"mnist-sample: {said}\n")


def test_completion_that_cannot_be_installed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mnist_sample", "--install-completion", "bash"],
        env={**os.environ, "HOME": "/dev/null", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("mnist-sample: cannot write /dev/null")


def test_nobody_hears_the_summary(conditional: Path, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mnist_sample", "--model", conditional],
            cwd=tmp_path,
            stderr=full,
            check=False,
        )
    assert done.returncode == 0
    assert (tmp_path / "digits.png").read_bytes().startswith(PNG_SIGNATURE)


def test_a_reader_that_goes_away(conditional: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = run_into(write, "--model", conditional, "--format", "npy", "--out", "-")
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == "mnist-sample: cannot write stdout: Broken pipe\n"
