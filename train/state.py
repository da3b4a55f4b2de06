"""All that a run consists of between two steps, and how it is saved and taken up again."""

from __future__ import annotations

import copy
import io
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from mnist_sample.errors import MnistSampleError
from mnist_sample.files import write_atomically
from models.registry import Config, get_architecture
from models.untrusted import MAX_FILE_BYTES, UntrustedFileError, load_plain
from train.config import TrainConfig
from train.distributed import World, share_batch_norm
from train.objectives import CURVES

FORMAT_VERSION: Final = 4
FACTS: Final[dict[str, type]] = {
    "settings": dict,
    "source": str,
    "data": str,
    "data_sha256": str,
    "device": str,
    "threads": int,
    "processes": int,
}
"""What the facts in a `resume.pt` tell at least."""
MAX_COUNT: Final = 10**15
METRICS: Final = ("d_loss", "g_loss", "penalty", *CURVES)


class ResumeError(MnistSampleError):
    """A run cannot be gone on with, or a generator cannot be begun with."""


@dataclass
class State:
    """The networks, their optimizers and the randomness of one run.

    Attributes:
        model: the shape of the generator.
        generator: the one that is trained.
        discriminator: its opponent.
        average: the generator with averaged weights and buffers (EMA), in evaluation mode.
        optimizer_g: Adam of the generator.
        optimizer_d: Adam of the discriminator.
        random: the only source of randomness, on the device, in the same state in every process.
        norm_g: float32 scalar on the device: running mean of the norm of the generator's gradients.
        norm_d: the same for the discriminator.
        ema_weight: float32 scalar on the device: what the average takes of the next weights.
        sums: float32 `[len(METRICS)]` on the device: this process's losses since the last log.
        summed: how many steps `sums` covers.
        sheets: pictures from the fixed latents so far.
        step: updates done.
        seconds: training time so far, over all resumptions.
    """

    model: Config
    generator: nn.Module
    discriminator: nn.Module
    average: nn.Module
    optimizer_g: torch.optim.Optimizer
    optimizer_d: torch.optim.Optimizer
    random: torch.Generator
    norm_g: Tensor
    norm_d: Tensor
    ema_weight: Tensor
    sums: Tensor
    summed: int = 0
    sheets: int = 0
    step: int = 0
    seconds: float = 0.0


_MODULES: Final = ("generator", "discriminator", "average")
_OPTIMIZERS: Final = ("optimizer_g", "optimizer_d")
_RUNNING: Final = ("sums", "norm_g", "norm_d")
_COUNTERS: Final = ("summed", "sheets", "step", "seconds")


def make_state(config: TrainConfig, classes: int, device: torch.device, world: World) -> State:
    """Return the state before the first step; the seed decides all of it."""
    architecture = get_architecture(config.arch)
    model = architecture.config(classes=classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        generator = architecture.generator(model)
        discriminator = architecture.discriminator(model, config.discriminator_width)
    if config.still_head:
        discriminator.still_head()  # type: ignore[operator]
    generator, discriminator = (
        share_batch_norm(m.to(device, memory_format=torch.channels_last), world)  # type: ignore[call-overload]
        for m in (generator, discriminator)
    )
    average = architecture.generator(model).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average.load_state_dict(generator.state_dict())
    return State(
        model=model,
        generator=generator,
        discriminator=discriminator,
        average=average.eval().requires_grad_(False),
        optimizer_g=_make_adam(generator, config, device),
        optimizer_d=_make_adam(discriminator, config, device),
        random=torch.Generator(device).manual_seed(config.seed),
        norm_g=torch.zeros((), device=device),
        norm_d=torch.zeros((), device=device),
        ema_weight=torch.zeros((), device=device),
        sums=torch.zeros(len(METRICS), device=device),
    )


def _make_adam(module: nn.Module, config: TrainConfig, device: torch.device) -> torch.optim.Optimizer:
    on_gpu = device.type == "cuda"
    return torch.optim.Adam(
        module.parameters(),
        # A captured CUDA graph reads the rate from memory.
        lr=torch.tensor(config.lr, device=device) if on_gpu else config.lr,
        betas=(config.beta1, config.beta2),
        fused=True,
        capturable=on_gpu,
    )


def set_stage(state: State, config: TrainConfig, fraction: float) -> None:
    """Set the rates and the mode of the generator for the next step; `fraction` of the run is done."""
    rate = config.lr * rate_factor(fraction, config.lr_end)
    set_rate(state.optimizer_d, rate)
    set_rate(state.optimizer_g, 0.0 if fraction < config.head_start else rate * config.lr_ratio)
    # The first steps' weights are worth little: the average begins short and grows to its full length.
    shortest = 0.0 if config.start_from else 9 / (state.step + 10)
    state.ema_weight.fill_(max(1 - config.ema, shortest) if config.ema else 1.0)
    # From some point on, each digit is trained as it will be sampled. A batch's own statistics differ from
    # those of the next batch: variety for D to see, which G need not make, and which sampling does not have.
    training = fraction < config.settle
    if state.generator.training != training:
        state.generator.train(training)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set an optimizer's learning rate, where a captured CUDA graph reads it if there is one."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def rate_factor(fraction: float, end: float) -> float:
    """Return the share of the full learning rate: a half cosine from 1 to `end`."""
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * fraction))


def is_finite(state: State) -> bool:
    """Tell whether every weight is a number."""
    return all(
        bool(tensor.isfinite().all())
        for name in _MODULES
        for tensor in getattr(state, name).state_dict().values()
    )


def _remembers_nan(state: State) -> bool:
    """Tell whether a NaN, which would spread to the weights, is in what is remembered beside them."""
    moments = [
        moment
        for name in _OPTIMIZERS
        for remembered in getattr(state, name).state.values()
        for moment in remembered.values()
    ]
    running = [getattr(state, name) for name in _RUNNING]
    return any(bool(tensor.isnan().any()) for tensor in (*moments, *running))


def save_state(state: State, facts: dict[str, Any], path: Path) -> None:
    """Write a `resume.pt`: the state, with plain values that tell what run it belongs to.

    Raises:
        OSError: it could not be written; what stood there stands there still.
    """
    buffer = io.BytesIO()
    torch.save(
        {
            "format": FORMAT_VERSION,
            "facts": facts,
            **{name: getattr(state, name).state_dict() for name in (*_MODULES, *_OPTIMIZERS)},
            "random": state.random.get_state(),
            **{name: getattr(state, name) for name in (*_RUNNING, *_COUNTERS)},
        },
        buffer,
    )
    write_atomically(path, buffer.getvalue())


def read_saved(path: Path) -> dict[str, Any]:
    """Read a `resume.pt` for `restore_state`.

    Raises:
        ResumeError: it is missing, damaged, too large or not ours.
    """
    try:
        with path.open("rb") as file:
            saved = load_plain(file.read(MAX_FILE_BYTES + 1))
    except OSError as error:
        remedy = "--resume takes the folder of a run"
        if path.with_name("config.json").is_file() and isinstance(error, FileNotFoundError):
            remedy = "that run was stopped before its first checkpoint: begin a new one in another folder"
            if path.with_name("gen.pt").is_file():
                remedy += ", with --start-from its gen.pt if you like"
        raise ResumeError(f"cannot read {path}: {error.strerror}; {remedy}") from error
    except UntrustedFileError as error:
        raise ResumeError(f"cannot go on from {path}: {error}") from error
    ours = _has(saved, {"format": int, "facts": dict, "step": int}) and saved["format"] == FORMAT_VERSION
    # No system has a path with a NUL.
    if not ours or not _has(saved["facts"], FACTS) or "\0" in saved["facts"]["source"]:
        raise ResumeError(f"{path} is of another version of this program; begin a new run")
    return saved


def _has(values: dict[str, Any], kinds: dict[str, type]) -> bool:
    return all(type(values.get(name)) is kind for name, kind in kinds.items())


def restore_state(state: State, saved: dict[str, Any], same_device: bool = True) -> None:
    """Put `state` where the saved run stood, but for the randomness of another kind of device.

    Raises:
        ResumeError: the saved values do not fit the networks, or are no numbers.
    """
    try:
        for name in _MODULES:
            # Its plain items: `load_state_dict` obeys what a stranger hangs on the table as `_metadata`.
            getattr(state, name).load_state_dict(dict(dict.items(saved[name])))
        for name in _OPTIMIZERS:
            _restore_moments(getattr(state, name), saved[name]["state"])
        if same_device:
            state.random.set_state(saved["random"])
        for name in _RUNNING:
            getattr(state, name).copy_(saved[name])
        for name in _COUNTERS:
            setattr(state, name, _check_count(saved[name], getattr(state, name)))
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ResumeError("resume.pt does not fit the networks of this version; begin a new run") from error
    if not is_finite(state) or _remembers_nan(state):
        raise ResumeError("resume.pt holds values that are no numbers (NaN or infinite); begin a new run")


def _restore_moments(optimizer: torch.optim.Optimizer, saved: dict[int, dict[str, Tensor]]) -> None:
    """Restore what Adam remembers of each parameter; its rates are the run's settings.

    Copied into tensors of the parameters' own shapes: Adam's kernel would write beyond smaller ones.
    """
    for group in optimizer.param_groups:
        for parameter, moments in zip(group["params"], saved.values(), strict=True):
            optimizer.state[parameter] = {
                "step": torch.zeros((), device=parameter.device).copy_(moments["step"]),
                "exp_avg": torch.zeros_like(parameter).copy_(moments["exp_avg"]),
                "exp_avg_sq": torch.zeros_like(parameter).copy_(moments["exp_avg_sq"]),
            }


def _check_count(value: object, current: float) -> float:
    if type(value) is not type(current) or not 0 <= value < MAX_COUNT:
        raise ValueError("not a count")
    return value


def average_weights(state: State) -> dict[str, Tensor]:
    """Return the averaged weights and buffers, on the CPU in plain layout, as a checkpoint keeps them."""
    return {
        name: copy.deepcopy(tensor).cpu().contiguous() for name, tensor in state.average.state_dict().items()
    }
