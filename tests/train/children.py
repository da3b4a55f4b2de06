"""What the tests' child processes do: train and be killed, or train together."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from mnist_sample.errors import MnistSampleError
from tests.train.idx_files import make_images
from tests.train.running import TINY, strike
from train.config import make_config
from train.distributed import join_world
from train.session import Request, run
from train.state import make_state, set_stage
from train.step import DeviceData, train_step

JOIN_SECONDS = 300
KILLED_WRITES = ("half a file", "before the renaming", "after the renaming")


def make_context() -> ForkServerContext:
    """Return a maker of child processes that have imported everything before they begin."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.train.children"])
    return context


def start_together(work: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> list[int | None]:
    """Run `work(rank, size, port, *arguments[rank])`, one process for each tuple; return their exit codes."""
    with socket.socket() as finder:
        finder.bind(("127.0.0.1", 0))
        port = finder.getsockname()[1]
    children = [
        make_context().Process(target=work, args=(rank, len(arguments), port, *own))
        for rank, own in enumerate(arguments)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(JOIN_SECONDS)
        child.kill()  # a test that hangs must not leave its processes behind
    return [child.exitcode for child in children]


def run_and_die(data: Path, folder: Path, settings: dict[str, Any], how: str, count: int) -> None:
    """Begin or go on with a run that is saved after each step; die while it writes its `count`th file."""
    torch.set_num_threads(1)
    if how == "half a file":
        os.fsync = _at_call(count, _write_half)
    elif how == "before the renaming":
        Path.replace = _at_call(count, _die, Path.replace)  # type: ignore[method-assign]
    elif how == "after the renaming":
        Path.replace = _at_call(count, _rename_and_die, Path.replace)  # type: ignore[method-assign]
    if (folder / "resume.pt").exists():
        run(Request(resume=folder, save_every_seconds=0))
    else:
        run(Request(str(data), folder, None, {**TINY, **settings}, save_every_seconds=0))


def _at_call(
    count: int, strike: Callable[..., NoReturn], usual: Callable[..., Any] = os.fsync
) -> Callable[..., Any]:
    """Return a function that does what `usual` does, and strikes at its `count`th call."""
    left = count

    def call(*arguments: Any) -> Any:
        nonlocal left
        left -= 1
        return usual(*arguments) if left else strike(*arguments)

    return call


def _die(*_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes no further")


def _write_half(file: int) -> NoReturn:
    os.ftruncate(file, os.fstat(file).st_size // 2)
    _die()


def _rename_and_die(path: Path, target: Path) -> NoReturn:
    os.replace(path, target)  # noqa: PTH105 - the method is what was replaced
    _die()


def work_together(
    rank: int, size: int, port: int, request: Request, accident: str | None, result: Path
) -> None:
    """Train as one of `size` processes, as under `torchrun`; write what ended it to `result`.

    An accident meets the last process after step 2: `death`, or `signal` for SIGTERM.
    """
    torch.set_num_threads(1)
    take_rank(rank, size, port)
    import pytest  # of the extra `dev`, which benchmarks that use this module do without

    with pytest.MonkeyPatch.context() as patch:
        if accident and rank == size - 1:
            number = signal.SIGKILL if accident == "death" else signal.SIGTERM
            strike(patch, 2, lambda _state: os.kill(os.getpid(), number))
        try:
            folder = run(request)
            result.write_text(f"finished {folder}")
        except MnistSampleError as error:
            result.write_text(f"{error} (exit code {error.exit_code})")


def save_gradients(rank: int, size: int, port: int, arch: str, batch_size: int, result: Path) -> None:
    """Take one step in float64 with `size` processes; save both networks' gradients and statistics."""
    torch.set_num_threads(1)
    # In float32, normalisations and kinks make so much of a rounding that it looks like a fault.
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    take_rank(rank, size, port)
    device = torch.device("cpu")
    # A rate that moves nothing: G's gradients are then taken at the same D, whatever the rounding.
    config = replace(make_config(arch, {"batch_size": batch_size, "lr": 1e-30}), bf16=False)
    images = torch.from_numpy(make_images(32)).unsqueeze(1)
    labels = torch.arange(32) % 3 if arch == "digits" else None
    with join_world(device) as world:
        state = make_state(config, 0 if labels is None else 3, device, world)
        set_stage(state, config, 0.0)
        train_step(state, DeviceData(images, labels), config, world)
        world.sum_(state.sums)
    if world.is_writer:
        found = {"losses": state.sums[:3]}
        for name in ("generator", "discriminator"):
            network: nn.Module = getattr(state, name)
            found |= {f"{name}.{key}": p.grad for key, p in network.named_parameters() if p.grad is not None}
            found |= {f"{name}.{key}": buffer for key, buffer in network.named_buffers()}
        torch.save(found, result)


def take_rank(rank: int, size: int, port: int) -> None:
    """Set what `torchrun` sets."""
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(size),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
