"""The checkpoint format `gen.pt`: plain tensors and values, enough to rebuild the generator with no flags."""

from __future__ import annotations

import hashlib
import io
import pickle
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.registry import Config, get_architecture

FORMAT_VERSION = 1
MAX_FILE_BYTES = 64 * 2**20
"""A checkpoint larger than this is refused unread; the architectures here need under 5 MB."""


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
    """Return the bytes of a `gen.pt`."""
    buffer = io.BytesIO()
    torch.save(
        {
            "format": FORMAT_VERSION,
            "architecture": checkpoint.architecture,
            "config": asdict(checkpoint.config),
            "class_names": list(checkpoint.class_names),
            "weights": checkpoint.weights,
            "training": checkpoint.training,
            "evaluation": checkpoint.evaluation,
        },
        buffer,
    )
    return buffer.getvalue()


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
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    return decode(content), hashlib.sha256(content).hexdigest()


def decode(content: bytes) -> Checkpoint:
    """Parse the bytes of a `gen.pt` that may come from a stranger.

    Nothing is built before its size, names, shapes and values have been checked.

    Raises:
        CheckpointError: not a checkpoint, damaged, of an unknown format or architecture, with a
            configuration out of range, or with weights that do not fit the configuration.
    """
    raw = _load_plain(content)
    if raw.get("format") != FORMAT_VERSION:
        raise CheckpointError(
            f"checkpoint format {raw.get('format')!r} is unknown; this version reads {FORMAT_VERSION}"
        )
    try:
        architecture = get_architecture(raw["architecture"])
        config = architecture.config(**raw["config"])
        names = tuple(raw["class_names"])
        weights = raw["weights"]
        checkpoint = Checkpoint(architecture.name, config, names, weights, raw["training"], raw["evaluation"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"not a valid checkpoint: {error}") from error
    if len(names) != config.classes or not all(isinstance(name, str) for name in names):
        raise CheckpointError(
            f"the checkpoint names {len(names)} classes, its configuration has {config.classes}"
        )
    _check_weights(checkpoint)
    return checkpoint


def _load_plain(content: bytes) -> dict[str, Any]:
    """Unpickle plain tensors and values, with no more memory than the file's own size."""
    if len(content) > MAX_FILE_BYTES:
        raise CheckpointError(f"the checkpoint is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(content):
                raise CheckpointError(
                    "the checkpoint unpacks to more than its own size; it was not made by torch.save"
                )
        raw = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            "the checkpoint holds more than plain tensors and values; it was refused"
        ) from error
    except (zipfile.BadZipFile, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError("not a checkpoint, or a damaged one; train again or copy it anew") from error
    if not isinstance(raw, dict):
        raise CheckpointError("not a generator's checkpoint")
    return raw


def _check_weights(checkpoint: Checkpoint) -> None:
    """Compare names, shapes and types with the configuration's, without building anything in memory."""
    with torch.device("meta"):
        expected = get_architecture(checkpoint.architecture).generator(checkpoint.config).state_dict()
    weights = checkpoint.weights
    if not isinstance(weights, dict) or weights.keys() != expected.keys():
        raise CheckpointError("the checkpoint's weights are not those of its architecture")
    for name, want in expected.items():
        have = weights[name]
        if not isinstance(have, Tensor) or have.shape != want.shape or have.dtype != want.dtype:
            raise CheckpointError(
                f"the checkpoint's {name} does not fit its configuration: "
                f"it should be {want.dtype} {list(want.shape)}"
            )
        if have.is_floating_point() and not bool(have.isfinite().all()):
            raise CheckpointError(
                f"the checkpoint's {name} is not finite: the training diverged or the file is damaged"
            )
