"""The whole step as one CUDA graph, so that the host launches one thing and not hundreds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch

from train.config import TrainConfig
from train.distributed import World
from train.state import State
from train.step import DeviceData, train_step

WARM_UP_STEPS: Final = 5
"""Taken before the capture: gradients, optimizer state and the libraries' workspaces must exist by then."""


def prepare_step(state: State, data: DeviceData, config: TrainConfig, world: World) -> Callable[[], None]:
    """Return a function that takes one step of `state`: captured on a GPU of its own, plain elsewhere."""
    step = partial(train_step, state, data, config, world)
    if data.images.device.type != "cuda" or world.size > 1:
        return step
    return CapturedStep(step, state.random, lambda: state.generator.training)


class CapturedStep:
    """A step that is launched as a CUDA graph from its `WARM_UP_STEPS + 1`th call on; each call is one step.

    Args:
        step: reads and writes the same device memory at each call, and never waits for the device.
        random: the generator it draws from; the graph advances it at each replay.
        stage: tells what else decides the step; when its answer changes, the step is captured anew.
    """

    def __init__(self, step: Callable[[], None], random: torch.Generator, stage: Callable[[], bool]) -> None:
        self._step = step
        self._random = random
        self._ask_stage = stage
        self._begin(stage())

    def _begin(self, stage: bool) -> None:
        self._stage = stage
        self._warm_up_left = WARM_UP_STEPS
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self) -> None:
        """Take one step."""
        stage = self._ask_stage()
        if stage != self._stage:
            self._begin(stage)
        if self._warm_up_left:
            self._warm_up_left -= 1
            self._warm_up()
            return
        if self._graph is None:
            self._graph = self._capture()
        self._graph.replay()

    def _warm_up(self) -> None:
        """Take the step on a stream of its own, as a capture asks for."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._step()
        torch.cuda.current_stream().wait_stream(stream)

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Record the step; recording does not take it."""
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self._random)
        with torch.cuda.graph(graph):
            self._step()
        return graph
