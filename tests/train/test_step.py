"""A step never waits for the device, and each call of a captured one is one step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.train.idx_files import make_images
from train.capture import WARM_UP_STEPS, CapturedStep, prepare_step
from train.config import DEFAULTS, TUTORIAL_PRINTED, TrainConfig
from train.distributed import World
from train.entropy import generate_around, local_entropy
from train.loop import fraction_done
from train.state import State, make_state, restore_state, set_stage
from train.step import DeviceData, clip_gradients, draw_batch, draw_moves, train_step

CPU = torch.device("cpu")
LONG = replace(DEFAULTS["digits"], entropy=0.01, legible=0.1, latent_std=0.98, warp=0.5)
WAITING = {
    torch.ops.aten._local_scalar_dense,
    torch.ops.aten.nonzero,
    torch.ops.aten.masked_select,
    torch.ops.aten.equal,
    torch.ops.aten.repeat_interleave,
}
"""Operators whose result the host has to read before it can go on."""


class ForbidWaiting(TorchDispatchMode):
    """Fail at an operator that would wait for a GPU."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket not in WAITING, f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


def make(config: TrainConfig) -> tuple[State, DeviceData]:
    """Return a fresh state, and 32 images with three classes where the architecture takes them."""
    labels = None if config.arch == "tutorial" else torch.arange(32) % 3
    state = make_state(config, 0 if labels is None else 3, CPU, World())
    return state, DeviceData(torch.from_numpy(make_images(32)).unsqueeze(1), labels)


@pytest.mark.parametrize(
    "config", [*DEFAULTS.values(), TUTORIAL_PRINTED, LONG], ids=[*DEFAULTS, "printed", "long"]
)
def test_nothing_in_a_step_waits_for_the_device(config: TrainConfig) -> None:
    state, data = make(config)
    take_step = prepare_step(state, data, config, World())
    networks = nn.ModuleDict({"g": state.generator, "d": state.discriminator})
    before = {name: parameter.clone() for name, parameter in networks.named_parameters()}
    with ForbidWaiting():
        set_stage(state, config, 0.0)
        take_step()
    untouched = {name for name, now in networks.named_parameters() if torch.equal(now, before[name])}
    reads = config.legible or config.arch == "tutorial"
    assert untouched == (set() if reads else {"d.classify.weight", "d.classify.bias"})
    with pytest.raises(AssertionError, match="waits"), ForbidWaiting():
        state.sums[0].item()


class FakeGraph:
    """Stands for `torch.cuda.CUDAGraph`: replays what ran while it recorded."""

    recording = False

    def __init__(self) -> None:
        self.registered: list[torch.Generator] = []

    def register_generator_state(self, random: torch.Generator) -> None:
        self.registered.append(random)

    def replay(self) -> None:
        taken.append("replayed")


taken: list[str] = []


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA runtime that notes how steps are taken."""

    class Stream:
        def wait_stream(self, other: Stream) -> None:
            """There is nothing to wait for."""

    @contextlib.contextmanager
    def record(graph: FakeGraph) -> Iterator[None]:
        assert graph.registered, "a graph that draws numbers must know their generator"
        monkeypatch.setattr(FakeGraph, "recording", True)
        yield
        monkeypatch.setattr(FakeGraph, "recording", False)

    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda _stream: contextlib.nullcontext())
    monkeypatch.setattr(torch.cuda, "graph", record)
    taken.clear()


def test_each_call_of_a_captured_step_takes_one_step(fake_cuda: None) -> None:
    def step() -> None:
        if not FakeGraph.recording:
            taken.append("launched")

    stage = True
    take_step = CapturedStep(step, torch.Generator(), lambda: stage)
    for _ in range(WARM_UP_STEPS + 3):
        take_step()
    stage = False  # what was captured does not fit any more
    for _ in range(WARM_UP_STEPS + 2):
        take_step()
    launched = ["launched"] * WARM_UP_STEPS
    assert taken == [*launched, *["replayed"] * 3, *launched, *["replayed"] * 2]


def test_a_resumed_optimizer_keeps_the_tensors_that_a_graph_reads() -> None:
    config = DEFAULTS["digits"]
    state, data = make(config)
    prepare_step(state, data, config, World())()
    rate = torch.tensor(1e-3)
    for optimizer in (state.optimizer_g, state.optimizer_d):
        optimizer.param_groups[0]["lr"] = rate
    names = ("generator", "discriminator", "average", "optimizer_g", "optimizer_d")
    saved: dict[str, Any] = {name: getattr(state, name).state_dict() for name in names}
    saved |= {"random": state.random.get_state(), "sums": state.sums}
    saved |= {"norm_g": state.norm_g, "norm_d": state.norm_d}
    saved |= {"summed": 0, "sheets": 0, "step": 3, "seconds": 1.0}
    restore_state(state, saved)
    assert state.optimizer_g.param_groups[0]["lr"] is rate
    set_stage(state, config, 1.0)
    assert float(rate) == pytest.approx(config.lr * config.lr_ratio * config.lr_end)


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_the_generator_learns_at_so_many_times_the_discriminators_rate(fraction: float) -> None:
    config = replace(DEFAULTS["digits"], lr_ratio=2.0)
    state, _ = make(config)
    set_stage(state, config, fraction)
    of_g, of_d = (optimizer.param_groups[0]["lr"] for optimizer in (state.optimizer_g, state.optimizer_d))
    assert of_d == pytest.approx(config.lr * (1 - fraction))
    assert of_g == pytest.approx(2 * of_d)


@pytest.mark.parametrize("fraction", [0.0, 0.49, 0.5, 0.99])
def test_from_halfway_on_each_digit_is_trained_as_it_is_sampled(fraction: float) -> None:
    config = DEFAULTS["digits"]
    state, data = make(config)
    before = {name: buffer.clone() for name, buffer in state.generator.named_buffers()}
    set_stage(state, config, fraction)
    prepare_step(state, data, config, World())()
    moved = [not torch.equal(buffer, before[name]) for name, buffer in state.generator.named_buffers()]
    assert moved == [fraction < 0.5] * len(moved)


def test_a_sudden_gradient_is_cut_to_its_usual_size_and_a_usual_one_is_left_alone() -> None:
    norm = torch.zeros(())
    for scale in (1.0, 1.5, 100.0):
        gradients = [torch.full((3,), scale), torch.full((1,), scale)]
        clip_gradients(gradients, norm, clip=2.0)
        length = float(torch.cat(gradients).norm())
        assert length == pytest.approx(2 * min(scale, 2 * 1.01), rel=1e-5)
    assert 2 < float(norm) < 2.2


@pytest.mark.parametrize(("fraction", "moves"), [(0.0, False), (0.24, False), (0.25, True)])
def test_a_discriminator_with_a_head_start_learns_alone_at_first(fraction: float, moves: bool) -> None:
    config = replace(DEFAULTS["digits"], head_start=0.25, settle=0.0)
    state, data = make(config)
    networks = {"g": state.generator, "d": state.discriminator, "average": state.average}
    before = {name: [p.clone() for p in network.parameters()] for name, network in networks.items()}
    set_stage(state, config, fraction)
    prepare_step(state, data, config, World())()
    moved = {
        name: any(not torch.equal(p, old) for p, old in zip(network.parameters(), before[name], strict=True))
        for name, network in networks.items()
    }
    assert moved == {"g": moves, "d": True, "average": moves}


def test_a_batch_holds_digits_with_their_own_labels_and_latents_of_that_spread() -> None:
    config = replace(DEFAULTS["digits"], batch_size=4096, latent_std=0.5)
    state, data = make(config)
    assert data.labels is not None
    data.images.copy_((data.labels * 100).view(-1, 1, 1, 1).expand_as(data.images))
    batch = draw_batch(state, data, config, World())
    shown = (batch.real[:, 0, 0, 0] + 1) * 127.5
    assert torch.equal(shown.round().long(), batch.labels[0] * 100)
    assert batch.latent.std().item() == pytest.approx(0.5, rel=0.02)


@pytest.mark.parametrize("arch", list(DEFAULTS))
def test_adam_has_the_settings_decays(arch: str) -> None:
    config = DEFAULTS[arch]
    state, _ = make(config)
    for optimizer in (state.optimizer_g, state.optimizer_d):
        assert optimizer.param_groups[0]["betas"] == (config.beta1, config.beta2)


def test_two_seeds_begin_with_other_weights_and_draw_other_digits() -> None:
    one, other = (make(replace(DEFAULTS["digits"], seed=seed))[0] for seed in (0, 1))
    weights = [next(state.generator.parameters()) for state in (one, other)]
    assert not torch.equal(*weights)
    assert not torch.equal(one.random.get_state(), other.random.get_state())


def spread_after_training(entropy: float) -> float:
    """Return how much room a generator's digits take after ten steps, in nats up to a constant."""
    config = replace(DEFAULTS["digits"], batch_size=16, entropy=entropy, bf16=False)
    state, data = make(config)
    for _ in range(10):
        set_stage(state, config, 0.5)
        train_step(state, data, config, World())
    random = torch.Generator().manual_seed(0)
    latent = torch.randn(16, state.model.latent_dim, generator=random)
    moves = draw_moves(config, latent, random, World())
    assert moves is not None
    with torch.no_grad():
        return float(local_entropy(generate_around(state.generator, latent, [torch.arange(16) % 3], moves)))


def test_entropy_makes_room() -> None:
    assert spread_after_training(10.0) > spread_after_training(0.001)


@pytest.mark.parametrize(("steps", "fraction"), [(None, 0.5), (100, 0.5), (11, 10 / 11)])
def test_a_run_ends_by_its_steps_or_minutes_whichever_is_first(steps: int | None, fraction: float) -> None:
    config = replace(DEFAULTS["digits"], steps=steps, minutes=5.0)
    state, _ = make(config)
    state.seconds, state.step = 150.0, 10
    assert fraction_done(state, config) == pytest.approx(fraction)
