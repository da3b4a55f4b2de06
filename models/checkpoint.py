"""The checkpoint format `gen.pt`: plain tensors and values, enough to rebuild the generator with no flags."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.registry import ARCHITECTURES, Architecture, Config, get_architecture
from models.untrusted import MAX_FILE_BYTES, UntrustedFileError, check_json_object, load_plain

FORMAT_VERSION = 1
ENTRIES = {"format", "architecture", "config", "class_names", "weights", "training", "evaluation"}
MAX_CONFIG_VALUES = 100
MAX_CLASS_NAME = 32


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged, not ours, or beyond a stated bound."""


@dataclass(frozen=True)
class Checkpoint:
    """A trained generator and how it was made.

    Attributes:
        architecture: name in the registry.
        config: the generator's shape.
        class_names: one name per label index; empty for an unconditional generator.
        weights: the EMA weights and buffers, as `state_dict` names them, on the CPU.
        training: how it was made: data, steps, seed, versions (JSON values only).
        evaluation: figure name -> {"generated": x, "real": y}; empty where it was not evaluated.
    """

    architecture: str
    config: Config
    class_names: tuple[str, ...]
    weights: dict[str, Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)

    def build_generator(self) -> nn.Module:
        """Return the generator in evaluation mode with these weights."""
        generator = get_architecture(self.architecture).generator(self.config)
        generator.load_state_dict(self.weights)
        return generator.eval().requires_grad_(False)


def encode(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of a `gen.pt`.

    Raises:
        CheckpointError: the facts beside the weights are more than JSON can hold, so nobody could read it.
    """
    try:
        training = check_json_object("training", checkpoint.training)
        evaluation = check_json_object("evaluation", checkpoint.evaluation)
    except UntrustedFileError as error:
        raise CheckpointError(f"the checkpoint cannot be written: {error}") from error
    buffer = io.BytesIO()
    torch.save(
        {
            "format": FORMAT_VERSION,
            "architecture": checkpoint.architecture,
            "config": asdict(checkpoint.config),
            "class_names": list(checkpoint.class_names),
            "weights": checkpoint.weights,
            # As JSON gives it back: no tuple, and nothing shared, which a reader would refuse.
            "training": json.loads(json.dumps(training)),
            "evaluation": json.loads(json.dumps(evaluation)),
        },
        buffer,
    )
    return buffer.getvalue()


def encode_readable(checkpoint: Checkpoint) -> bytes:
    """Return the bytes of a `gen.pt` with computed weights, once they have been read back.

    Raises:
        CheckpointError: see `encode` and `decode`.
    """
    content = encode(checkpoint)
    decode(content)
    return content


def read(path: Path) -> tuple[Checkpoint, str]:
    """Read a checkpoint file.

    Returns:
        The checkpoint and the SHA-256 of its bytes in lower-case hex.

    Raises:
        CheckpointError: see `decode`; or the file is missing, unreadable or too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CheckpointError(f"cannot read checkpoint {path}: {error.strerror}; check the path") from error
    try:
        return decode(content), hashlib.sha256(content).hexdigest()
    except CheckpointError as error:
        raise CheckpointError(f"cannot use checkpoint {path}: {error}") from error


def decode(content: bytes) -> Checkpoint:
    """Parse the bytes of a `gen.pt` that may come from a stranger.

    Nothing is built before its size, names, shapes and values have been checked, and no memory is taken
    beyond what the file's own size explains.

    Raises:
        CheckpointError: not a checkpoint, damaged, of an unknown format or architecture, with a
            configuration out of range, or with weights that do not fit the configuration.
    """
    try:
        raw = load_plain(content)
        architecture = _read_architecture(raw)
        config = _read_config(raw, architecture)
        checkpoint = Checkpoint(
            architecture=architecture.name,
            config=config,
            class_names=_read_class_names(raw, config),
            weights=_read_weights(raw),
            training=check_json_object("training", raw["training"]),
            evaluation=check_json_object("evaluation", raw["evaluation"]),
        )
    except UntrustedFileError as error:
        raise CheckpointError(str(error)) from error
    _check_weights(checkpoint, len(content))
    return checkpoint


def _read_architecture(raw: dict[str, Any]) -> Architecture:
    """Return the architecture that the file names, once its format is known."""
    version = raw.get("format")
    if type(version) is not int or version != FORMAT_VERSION:
        known = f"this version reads {FORMAT_VERSION}"
        raise CheckpointError(f"its format {_shorten(version)} is unknown; {known}")
    if raw.keys() != ENTRIES:
        raise CheckpointError("its entries are not those of a checkpoint of this format")
    name = raw["architecture"]
    try:
        return get_architecture(name if type(name) is str else "")
    except ValueError:
        known = ", ".join(sorted(ARCHITECTURES))
        raise CheckpointError(
            f"its architecture {_shorten(name)} is unknown; this version knows {known}"
        ) from None


def _read_config(raw: dict[str, Any], architecture: Architecture) -> Config:
    """Return the configuration, which checks its own ranges."""
    values = check_json_object("config", raw["config"], MAX_CONFIG_VALUES)
    try:
        config = architecture.config(**values)
    except TypeError as error:
        raise CheckpointError(f"its configuration is not one of {architecture.name}") from error
    except ValueError as error:
        raise CheckpointError(f"its configuration is not valid: {str(error)[:200]}") from error
    if asdict(config).keys() != values.keys():
        raise CheckpointError(f"its configuration should name {', '.join(asdict(config))}")
    return config


def _read_class_names(raw: dict[str, Any], config: Config) -> tuple[str, ...]:
    names = raw["class_names"]
    if type(names) is not list or len(names) != config.classes:
        raise CheckpointError(f"it should name {config.classes} classes, as its configuration says")
    if not all(
        type(name) is str
        and 0 < len(name.strip()) == len(name) <= MAX_CLASS_NAME
        and name.isprintable()
        and "," not in name
        for name in names
    ):
        raise CheckpointError(
            f"its class names should be printable texts of up to {MAX_CLASS_NAME} characters without a comma "
            "or blanks around them"
        )
    if len(set(names)) != len(names):
        raise CheckpointError("it gives two classes the same name")
    return tuple(names)


def _read_weights(raw: dict[str, Any]) -> dict[str, Any]:
    """Return the table of weights without what may hang on it: `load_state_dict` obeys its `_metadata`."""
    weights = raw["weights"]
    if not isinstance(weights, dict):
        raise CheckpointError("its weights are not a table of names and tensors")
    return dict(dict.items(weights))  # an OrderedDict may have a stranger's `items` hanging on it too


def _check_weights(checkpoint: Checkpoint, size: int) -> None:
    """Compare names, shapes and types with the configuration's, without building anything in memory."""
    with torch.device("meta"):
        expected = get_architecture(checkpoint.architecture).generator(checkpoint.config).state_dict()
    weights = checkpoint.weights
    if weights.keys() != expected.keys():
        raise CheckpointError(f"its weights are not those of a {checkpoint.architecture} generator")
    for name, want in expected.items():
        _check_shape(name, weights[name], want)
    # A view may repeat one element: only now is it known that the weights' sizes add up to the file's.
    needed = sum(tensor.numel() * tensor.element_size() for tensor in expected.values())
    if needed > size:
        raise CheckpointError(
            f"its configuration asks for {needed:,} bytes of weights; the file has {size:,}"
        )
    for name, tensor in weights.items():
        _check_numbers(name, tensor)


def _check_shape(name: str, have: object, want: Tensor) -> None:
    """Raise unless `have` is a tensor of the shape and type of `want`."""
    if type(have) not in (Tensor, nn.Parameter):
        raise CheckpointError(f"its {name} is not a tensor")
    assert isinstance(have, Tensor)
    if have.shape != want.shape or have.dtype != want.dtype:
        raise CheckpointError(
            f"its {name} should be {want.dtype} {list(want.shape)}, as its configuration says"
        )


def _check_numbers(name: str, tensor: Tensor) -> None:
    """Raise unless a network can have these numbers."""
    if not bool(tensor.isfinite().all()):
        raise CheckpointError(f"its {name} is not finite: the training diverged, or the file is damaged")
    if name.endswith("running_var") and bool((tensor < 0).any()):
        raise CheckpointError(f"its {name} has negative variances: the file is damaged")


def _shorten(value: object) -> str:
    """Return a stranger's value for a message: of any type, short, on one line."""
    plain = type(value) is str or (type(value) is int and abs(value) < 2**63)
    return ascii(value)[:40] if plain else f"of type {type(value).__name__}"
