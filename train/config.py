"""Every setting of a run, with each architecture's defaults in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from mnist_sample.contract import IMAGE_SIZE
from mnist_sample.errors import UsageError

MAX_BATCH_SIZE: Final = 65_536
MAX_DISCRIMINATOR_WIDTH: Final = 2
"""The checkpoint of a wider one would be larger than what is read from a stranger."""
MAX_STEPS: Final = 10**12
"""More than anybody waits for; a checkpoint holds no integer of more than 64 bits."""
MAX_MINUTES: Final = 1_000_000
"""Almost two years."""
SAVE_EVERY_SECONDS: Final = 30.0
"""How often a running training is saved."""
Objective = Literal["relativistic", "bce"]


@dataclass(frozen=True)
class TrainConfig:
    """What decides the weights of a run, beside the data and the machine.

    Attributes:
        arch: name in the registry of `models`.
        steps: updates of the generator; None where only `minutes` ends the run.
        minutes: wall-clock bound of the training; None for no bound.
        extended_at: the step at which `steps` or `minutes` last grew; 0 for never. The learning rate rose
            there to that of the longer run.
        start_from: the `gen.pt` whose generator this run begins with; empty for a fresh one.
        start_sha256: SHA-256 of that file.
        head_start: share of the run in which D learns alone: it would mislead a good G at first.
        batch_size: real digits per step, over all processes together.
        lr: the discriminator's learning rate (Adam) at the start.
        lr_ratio: the generator's learning rate over the discriminator's.
        lr_end: share of the learning rates that a half cosine over the run ends with; 1 keeps them constant.
        beta1: Adam's first decay.
        beta2: Adam's second decay.
        ema: decay of the generator's averaged weights per step; 0 keeps the last weights.
        clip: gradients are scaled down to so many times their norm's running mean; 0 leaves them alone.
        objective: `relativistic` (R3GAN, arXiv 2501.05441) or `bce` (the tutorial's).
        gamma: weight of the R1 and R2 gradient penalties; `relativistic` only.
        estimate: the penalties' gradients are estimated from noise (arXiv 2501.08316), not exact.
        penalty_every: k, where estimated penalties look at each k-th digit of a batch, weighted by k.
        entropy: weight of the entropy of G's digits near each latent in G's loss (`train/entropy.py`);
            more of it is more variety.
        legible: weight of the class that D reads, on real digits in D's loss, on generated ones in G's;
            `relativistic` and conditional only.
        latent_std: standard deviation of the latents that G is trained with. It is sampled with 1: below
            that, the digits go a little beyond those that D has seen.
        discriminator_width: factor on the usual width of D; `digits` only.
        still_head: the BatchNorm that ends the tutorial's D keeps its first statistics, so that it is a
            scale and a shift; as printed, it gives real and generated digits the same mean.
        settle: share of the run after which G's BatchNorm keeps its running statistics; 1 for never.
        shift: D sees each digit, of both kinds, moved by up to so many pixels.
        warp: share of digits, of both kinds, that D sees warped a little (`train/view.py`).
        bf16: autocast to bfloat16; None takes it where the processor has instructions for it.
        seed: decides initial weights, batches and latents.
        device: `cuda` or `cpu`.

    Raises:
        UsageError: a value is out of range; names it.
    """

    arch: str = "digits"
    steps: int | None = 12_000
    minutes: float | None = None
    extended_at: int = 0
    start_from: str = ""
    start_sha256: str = ""
    head_start: float = 0.0
    batch_size: int = 256
    lr: float = 2e-3
    lr_ratio: float = 3.0
    lr_end: float = 0.0
    beta1: float = 0.0
    beta2: float = 0.99
    ema: float = 0.999
    clip: float = 2.0
    objective: Objective = "relativistic"
    gamma: float = 0.1
    estimate: bool = True
    penalty_every: int = 4
    entropy: float = 0.0
    legible: float = 0.0
    latent_std: float = 1.0
    discriminator_width: int = 1
    still_head: bool = False
    settle: float = 0.5
    shift: int = 0
    warp: float = 0.0
    bf16: bool | None = None
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        _check(self.steps is None or 1 <= self.steps <= MAX_STEPS, f"--steps must be from 1 to {MAX_STEPS:,}")
        _check(
            self.minutes is None or 0 < self.minutes <= MAX_MINUTES,
            f"--minutes must be above 0 and at most {MAX_MINUTES:,}",
        )
        _check(2 <= self.batch_size <= MAX_BATCH_SIZE, f"--batch-size must be from 2 to {MAX_BATCH_SIZE}")
        for name in ("lr", "lr_ratio"):
            option = name.replace("_", "-")
            _check(0 < getattr(self, name) < float("inf"), f"--{option} must be a number above 0")
        _check(self.extended_at >= 0, "extended_at is out of range")
        check_seed(self.seed)
        _check(self.steps is not None or self.minutes is not None, "--steps or --minutes must end the run")
        _check(self.objective in get_args(Objective), f"unknown objective {self.objective!r}")
        for name in ("lr_end", "settle"):
            _check(0 <= getattr(self, name) <= 1, f"{name} must be from 0 to 1")
        _check(0 <= self.warp <= 1, "--warp must be from 0 to 1")
        for name in ("beta1", "beta2", "ema", "head_start"):
            _check(0 <= getattr(self, name) < 1, f"{name} must be 0 or more, and below 1")
        for name in ("gamma", "entropy", "legible"):
            _check(0 <= getattr(self, name) < float("inf"), f"--{name} must be 0 or more")
        check_latent_std(self.latent_std)
        _check(
            1 <= self.discriminator_width <= MAX_DISCRIMINATOR_WIDTH,
            f"--discriminator-width must be from 1 to {MAX_DISCRIMINATOR_WIDTH}",
        )
        _check(0 <= self.clip < float("inf"), "clip must be 0 or more")
        _check(self.penalty_every >= 1, "penalty_every must be 1 or more")
        _check(0 <= self.shift < IMAGE_SIZE, f"shift must be from 0 to {IMAGE_SIZE - 1}")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)


def check_seed(value: int) -> None:
    """Refuse a seed that PyTorch would not take.

    Raises:
        UsageError: it is not from 0 to 2**63 - 1.
    """
    _check(0 <= value < 2**63, "--seed must be from 0 to 2**63 - 1")


def check_latent_std(value: float) -> None:
    """Refuse a spread of latents that training, or an average, could not be sampled beyond.

    Raises:
        UsageError: it is not above 0 and at most 1.
    """
    _check(0 < value <= 1, "--latent-std must be above 0 and at most 1")


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise UsageError(message)


DEFAULTS: Final[dict[str, TrainConfig]] = {
    "digits": TrainConfig(),
    "tutorial": TrainConfig(
        arch="tutorial",
        steps=1407,
        batch_size=128,
        lr=5e-4,
        lr_ratio=1.0,
        lr_end=0.1,
        beta1=0.5,
        beta2=0.999,
        objective="bce",
        clip=0.0,
        still_head=True,
        settle=1.0,
        estimate=False,
        bf16=False,
    ),
}

TUTORIAL_PRINTED: Final = replace(
    DEFAULTS["tutorial"], lr=0.01, lr_end=1.0, beta1=0.9, beta2=0.999, ema=0.0, still_head=False
)
"""The tutorial's own setting: Adam as it comes, lr 0.01, a BatchNorm on D's logits."""


_DIGITS_ONLY: Final = frozenset({"gamma", "legible", "discriminator_width"})
"""Settings that only the `digits` pair and its relativistic objective heed."""


def make_config(arch: str, given: Mapping[str, Any]) -> TrainConfig:
    """Return an architecture's defaults with the given values in their place; None counts as not given.

    `--arch tutorial --lr 0.01` is the tutorial's printed setting, with all that belongs to it.

    Raises:
        UsageError: unknown architecture, a value out of range, or one that the architecture has no use for.
    """
    if arch not in DEFAULTS:
        raise UsageError(f"unknown architecture {arch!r}: choose from {', '.join(sorted(DEFAULTS))}")
    chosen = {name: value for name, value in given.items() if value is not None}
    defaults = DEFAULTS[arch]
    if arch == "tutorial" and chosen.get("lr") == TUTORIAL_PRINTED.lr:
        defaults = TUTORIAL_PRINTED
    useless = sorted(_DIGITS_ONLY & chosen.keys()) if defaults.objective == "bce" else []
    options = " and ".join(f"--{name.replace('_', '-')}" for name in useless)
    _check(not useless, f"{options}: --arch {arch} has no use for it")
    if "minutes" in chosen and "steps" not in chosen:
        chosen["steps"] = None
    return replace(defaults, **chosen)


def read_config(saved: Mapping[str, Any]) -> TrainConfig:
    """Return the settings that `TrainConfig.as_dict` gave, from a file that anybody may have written.

    Raises:
        UsageError: a setting is missing, unknown, of another type, or out of range.
    """
    kinds = get_type_hints(TrainConfig)
    _check(saved.keys() == kinds.keys(), "settings are missing or unknown")
    for name, kind in kinds.items():
        # Of a union; types are compared, since a flag would pass for a number otherwise.
        plain = (str,) if get_origin(kind) is Literal else get_args(kind) or (kind,)
        _check(type(saved[name]) in plain, f"{name} is {saved[name]!r}")
    _check(saved["arch"] in DEFAULTS, f"unknown architecture {saved['arch']!r}")
    usual = DEFAULTS[saved["arch"]]
    fits = saved["objective"] == usual.objective and (usual.still_head or not saved["still_head"])
    _check(fits, f"these settings do not belong to {saved['arch']}")
    return TrainConfig(**saved)
