"""Several processes train what one would have trained, and end together."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
import torch

from mnist_sample.errors import UsageError
from models import checkpoint
from tests.train.children import save_gradients, start_together, work_together
from tests.train.running import TINY, begin, go_on, read_metrics, strike
from train.distributed import WorkerError, join_world
from train.loop import InterruptedRunError
from train.session import Request


def train_together(folder: Path, size: int, request: Request, accident: str | None = None) -> list[str]:
    """Train with `size` processes; return what each said at its end."""
    results = [folder / f"ended-{rank}" for rank in range(size)]
    start_together(work_together, [(request, accident, result) for result in results])
    return [result.read_text() if result.exists() else "died" for result in results]


@pytest.mark.parametrize("arch", ["digits", "tutorial"])
def test_gradients_equal_those_of_a_single_process(arch: str, tmp_path: Path) -> None:
    """With 2 and 3 processes, and a batch of 14 that 3 do not divide."""
    found = []
    for size in (1, 2, 3):
        result = tmp_path / f"{size}.pt"
        arguments = (arch, 14, result)
        exit_codes = start_together(save_gradients, [arguments] * size)
        assert exit_codes == [0] * size
        found.append(torch.load(result, weights_only=True))
    for several in found[1:]:
        assert several.keys() == found[0].keys()
        for name, expected in found[0].items():
            error = (several[name] - expected).abs().max() / (expected.abs().max() + 1e-3)
            assert float(error) < 1e-9, name


def test_a_run_goes_on_with_another_number_of_processes(data: Path, finished: Path, tmp_path: Path) -> None:
    """Begun by 2, stopped by a SIGTERM to the one that does not write, and ended by 1."""
    folder = tmp_path / "run"
    said = train_together(tmp_path, 2, Request(str(data), folder, None, TINY), accident="signal")
    assert all(
        end.startswith("stopped at step 2, all of it saved; go on with: python -m train --resume")
        and end.endswith("(exit code 143)")
        for end in said
    )
    assert checkpoint.read(folder / "gen.pt")[0].training["processes"] == 2
    go_on(folder)
    random = [torch.load(path / "resume.pt", weights_only=True)["random"] for path in (folder, finished)]
    assert torch.equal(*random)
    losses, expected = ([line["g_loss"] for line in read_metrics(path)] for path in (folder, finished))
    assert losses == pytest.approx(expected, rel=0.05)


def test_a_run_of_one_goes_on_with_three(
    data: Path, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        strike(patch, 3, lambda _state: signal.raise_signal(signal.SIGINT))
        with pytest.raises(InterruptedRunError):
            begin(data, folder)
    said = train_together(tmp_path, 3, Request(resume=folder))
    assert said == [f"finished {folder}", "finished None", "finished None"]
    losses, expected = ([line["g_loss"] for line in read_metrics(path)] for path in (folder, finished))
    assert losses == pytest.approx(expected, rel=0.05)


def test_a_dead_worker_ends_the_run_with_the_command_that_goes_on(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    request = Request(str(data), folder, None, TINY, save_every_seconds=0)
    writer, dead = train_together(tmp_path, 2, request, accident="death")
    assert dead == "died"
    assert "another worker of this run has ended; what was saved at step" in writer
    assert "is whole; go on with: python -m train --resume" in writer
    assert checkpoint.read(folder / "gen.pt")[0].training["steps"] in (1, 2)


def test_workers_that_do_not_meet_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name, value in (("WORLD_SIZE", "2"), ("RANK", "0"), ("MASTER_ADDR", "127.0.0.1")):
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("MASTER_PORT", str(port))
        with (
            pytest.raises(
                WorkerError, match=rf"do not meet at 127\.0\.0\.1:{port}: .*MASTER_PORT$"
            ) as raised,
            join_world(torch.device("cpu")),
        ):
            pass
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("size", ["2", "0", "many"])
def test_a_number_of_processes_that_torchrun_has_not_set_is_refused(
    size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", size)
    monkeypatch.delenv("RANK", raising=False)
    with (
        pytest.raises(UsageError, match=f"WORLD_SIZE is '{size}', .*: start with torchrun, or unset"),
        join_world(torch.device("cpu")),
    ):
        pass


def test_a_batch_too_small_for_the_processes_is_refused(data: Path, tmp_path: Path) -> None:
    request = Request(str(data), tmp_path / "run", None, {**TINY, "batch_size": 3})
    said = train_together(tmp_path, 2, request)
    assert said == ["--batch-size 3 is too small for 2 processes (exit code 2)"] * 2
