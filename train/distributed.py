"""Data-parallel training under `torchrun`: the same global batch, the same gradients, one writer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm

from mnist_sample.errors import MnistSampleError, UsageError
from mnist_sample.text import first_line
from train.interruption import Terminated

TIMEOUT: Final = timedelta(minutes=5)
"""How long a process waits for the others: longer than the writer needs for pictures and figures."""


class WorkerError(MnistSampleError):
    """Another process of this run has ended."""


@dataclass(frozen=True)
class World:
    """The processes of one run.

    Every process draws the whole global batch from the same random state and works on its own part, so
    that neither the number of processes nor a change of it touches the randomness.

    Attributes:
        rank: this process; 0 is the one that writes.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_writer(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0

    def rows(self, count: int) -> range:
        """Return which rows of a global batch of so many are this process's; parts differ by one at most."""
        return range(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def part(self, batch: Tensor) -> Tensor:
        """Return this process's rows of a global batch."""
        rows = self.rows(len(batch))
        return batch[rows.start : rows.stop]

    def sum_gradients(self, module: nn.Module) -> None:
        """Replace each gradient with its sum over all processes, in one message."""
        if self.size > 1:
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            flat = torch.cat([g.flatten() for g in gradients])
            self.sum_(flat)
            sizes = [gradient.numel() for gradient in gradients]
            for gradient, total in zip(gradients, torch.split(flat, sizes), strict=True):
                gradient.copy_(total.view_as(gradient))

    def sum_(self, values: Tensor) -> Tensor:
        """Replace `values` with their sum over all processes.

        Raises:
            WorkerError: another process has ended.
        """
        if self.size > 1:
            with _explain_lost_worker():
                dist.all_reduce(values)
        return values

    def agree(
        self, fraction: float, stop: KeyboardInterrupt | None = None
    ) -> tuple[float, KeyboardInterrupt | None]:
        """Return the writer's `fraction`, and what stops any of the processes, if anything: alike everywhere.

        Raises:
            WorkerError: another process has ended.
        """
        if self.size == 1:
            return fraction, stop
        mine = [fraction if self.is_writer else 0.0, stop is not None, isinstance(stop, Terminated)]
        done, stopped, terminated = self.sum_(torch.tensor(mine, dtype=torch.float64)).tolist()
        return done, (Terminated() if terminated else KeyboardInterrupt()) if stopped else None

    def broadcast(self, value: str) -> str:
        """Return the writer's text.

        Raises:
            WorkerError: another process has ended.
        """
        if self.size == 1:
            return value
        box = [value]
        with _explain_lost_worker():
            dist.broadcast_object_list(box, src=0)
        return box[0]


@contextlib.contextmanager
def _explain_lost_worker() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise WorkerError("another worker of this run has ended") from error


@contextlib.contextmanager
def join_world(device: torch.device) -> Iterator[World]:
    """Join the processes that `torchrun` started; without it, a world of one.

    Raises:
        UsageError: something else has set `WORLD_SIZE`.
        WorkerError: the others do not come, or cannot be reached.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield World()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Numbers of the host, as in `World.agree`, travel by gloo: nccl would have to wait for the device.
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=TIMEOUT)
    except ValueError as error:  # a variable is missing, or no number
        raise UsageError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']!r}, but torchrun has not set the variables beside it: "
            "start with torchrun, or unset WORLD_SIZE"
        ) from error
    except RuntimeError as error:  # a port that is taken, a host that is not there, or minutes of waiting
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise WorkerError(
            f"the workers of this run do not meet at {where}: {first_line(error)}; start as "
            "many as WORLD_SIZE says, or choose another MASTER_PORT"
        ) from error
    try:
        yield World(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


class _SumOverProcesses(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of all processes' gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, values: Tensor, world: World) -> Tensor:
        ctx.world = world  # type: ignore[attr-defined]
        return world.sum_(values.clone())

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        world: World = ctx.world  # type: ignore[attr-defined]
        return world.sum_(gradients[0].clone()), None


class SharedBatchNorm(_BatchNorm):
    """BatchNorm with the statistics of the global batch; `torch.nn.SyncBatchNorm` does this on GPUs only."""

    def __init__(self, plain: _BatchNorm, world: World) -> None:
        super().__init__(plain.num_features, plain.eps, plain.momentum, plain.affine)
        self.weight, self.bias = plain.weight, plain.bias
        self.running_mean, self.running_var = plain.running_mean, plain.running_var
        self.num_batches_tracked = plain.num_batches_tracked
        self.world = world

    def forward(self, x: Tensor) -> Tensor:
        """Normalise float `[batch, channels, ...]`, in training mode over all processes' rows together."""
        if not self.training:
            return super().forward(x)
        axes = [0, *range(2, x.dim())]
        shape = [1, -1] + [1] * (x.dim() - 2)
        wide = x.float()
        count = self.world.sum_(torch.full((), float(x.numel() // x.shape[1]), device=x.device))
        mean = self._sum(wide.sum(axes)) / count
        centred = wide - mean.view(shape)
        variance = self._sum(centred.square().sum(axes)) / count
        self._track(mean.detach(), variance.detach() * count / (count - 1))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)

    def _sum(self, values: Tensor) -> Tensor:
        total: Tensor = _SumOverProcesses.apply(values, self.world)
        return total

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, which sampling uses, towards this batch's."""
        assert self.running_mean is not None and self.running_var is not None  # noqa: PT018
        assert self.num_batches_tracked is not None and self.momentum is not None  # noqa: PT018
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002
        """Accept any number of dimensions, as the plain module checked what it was built for."""


def share_batch_norm(module: nn.Module, world: World) -> nn.Module:
    """Replace every BatchNorm in training mode inside `module`; in a world of one, change nothing."""
    if world.size > 1:
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm) and child.training:
                setattr(module, name, SharedBatchNorm(child, world))
            else:
                share_batch_norm(child, world)
    return module
