"""Tracing a generator, and what the edits of the traced graph share."""

from __future__ import annotations

from operator import attrgetter
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from mnist_sample import contract

aten = torch.ops.aten


def batch_axes(example: tuple[Tensor, ...]) -> tuple[dict[int, Any], ...]:
    """Return which axes of a module's inputs are symbolic: the first of each, called `batch`."""
    batch = torch.export.Dim(contract.BATCH_AXIS)
    return tuple({0: batch} for _ in example)


def trace(module: nn.Module, example: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    """Trace `module` with a dynamic first dimension called `batch` on every input."""
    return torch.export.export(module, example, dynamic_shapes=batch_axes(example))


def value_of(traced: fx.GraphModule, node: object) -> Tensor:
    """Return the parameter or buffer that `node` reads, detached, sharing its memory."""
    return cast(Tensor, attrgetter(cast(str, cast(fx.Node, node).target))(traced)).detach()


def shape_of(node: fx.Node) -> torch.Size:
    """Return the shape that `node` had when it was traced."""
    return cast(torch.Size, node.meta["val"].shape)


def add_constant(traced: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    """Give the graph a new buffer and return the node that reads it."""
    traced.register_buffer(name, value.clone())
    return traced.graph.get_attr(name)
