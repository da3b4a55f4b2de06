"""Averages the weights of several generators that began as one.

Second runs that begin with the same generator (`--start-from`) end near enough to one another that the mean
of their weights is a generator too, and a tidier one than each of them: what each run got wrong by chance
cancels out (model soups: Wortsman et al., arXiv 2203.05482). Wider latents turn that into variety, and no run
has to be chosen by the figures that it is judged by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mnist_sample.errors import MnistSampleError, UsageError
from mnist_sample.files import check_target, write_atomically
from models import checkpoint
from models.checkpoint import Checkpoint, CheckpointError
from models.registry import get_architecture
from train.config import check_latent_std

MAX_GENERATORS: Final = 100


class AveragingError(MnistSampleError):
    """The generators cannot be averaged."""


def average(paths: Sequence[Path], latent_std: float, out: Path) -> None:
    """Write the mean of some generators' weights as a checkpoint.

    Args:
        paths: their `gen.pt` files.
        latent_std: the spread of latents that the average is to take for 1, as in training; in (0, 1].
        out: the checkpoint to write; never one of `paths`.

    Raises:
        UsageError: too few or too many generators, `latent_std` is out of range, or `out` is one of them.
        OutputError: `out` is a folder, a device or a pipe, or its folder is missing.
        AveragingError: a file cannot be read, the generators did not begin as one (one of them may be what
            the others began with), or their average would be no checkpoint.
        OSError: `out` cannot be written.
    """
    if not 2 <= len(paths) <= MAX_GENERATORS:
        raise UsageError(f"name from 2 to {MAX_GENERATORS} generators to average")
    check_latent_std(latent_std)
    check_target(out, paths)
    trained: list[Checkpoint] = []
    digests: list[str] = []
    for path in paths:
        one, sha256 = _read(path)
        if trained:
            _check_alike(trained[0], one, paths[0], path)
        if any(_are_equal(one, other) for other in trained):
            raise UsageError(f"{path} is named twice, or is a copy of another: name each generator once")
        trained.append(one)
        digests.append(sha256)
    _check_beginning(trained, digests, paths)
    try:
        content = checkpoint.encode_readable(_average(trained, digests, latent_std))
    except CheckpointError as error:
        raise AveragingError(f"the average of these generators is not one: {error}") from error
    write_atomically(out, content)


def _read(path: Path) -> tuple[Checkpoint, str]:
    try:
        return checkpoint.read(path)
    except CheckpointError as error:
        raise AveragingError(str(error)) from error


def _check_alike(first: Checkpoint, other: Checkpoint, first_path: Path, path: Path) -> None:
    """Refuse generators whose weights have no mean: of other shapes, classes or digits."""
    if (first.architecture, first.config, first.class_names) != (
        other.architecture,
        other.config,
        other.class_names,
    ):
        raise AveragingError(f"{path} is a generator of another shape or of other classes than {first_path}")
    if first.training.get("data_sha256") != other.training.get("data_sha256"):
        raise AveragingError(f"{first_path} and {path} were trained on different digits")


def _check_beginning(trained: Sequence[Checkpoint], digests: Sequence[str], paths: Sequence[Path]) -> None:
    """Refuse generators that did not begin as one; the one they began with may be among them."""
    kin = [(_start_of(one), digest) for one, digest in zip(trained, digests, strict=True)]
    beginnings = [beginning for beginning in kin[0] if beginning is not None]
    strangers = min(
        ([path for path, its in zip(paths, kin, strict=True) if one not in its] for one in beginnings),
        key=len,
    )
    if strangers:
        raise AveragingError(
            f"{paths[0]} and {strangers[0]} did not begin with the same file, so their mean may draw "
            "nothing: train each with --start-from and the same gen.pt, in which nothing is recorded in "
            "between"
        )


def _are_equal(one: Checkpoint, other: Checkpoint) -> bool:
    return all(torch.equal(tensor, other.weights[name]) for name, tensor in one.weights.items())


def _start_of(trained: Checkpoint) -> str | None:
    """Return the digest of the generator that a run began with; None where it began anew."""
    settings = trained.training.get("settings")
    digest = settings.get("start_sha256") if isinstance(settings, dict) else None
    return digest if isinstance(digest, str) and len(digest) == hashlib.sha256().digest_size * 2 else None


def _average(trained: list[Checkpoint], digests: list[str], latent_std: float) -> Checkpoint:
    first = trained[0]
    weights = {name: _mean([one.weights[name] for one in trained]) for name in first.weights}
    # A layer without bias that meets the latents alone: wider latents are larger weights.
    latent_weight = get_architecture(first.architecture).latent_weight
    weights[latent_weight] = (weights[latent_weight].double() / latent_std).float()
    facts = [{**one.training, "sha256": digest} for one, digest in zip(trained, digests, strict=True)]
    shared, own = _compare(facts)
    shared |= {"latent_std": latent_std, "average_of": own}
    return replace(first, weights=weights, training=shared, evaluation={})


def _compare(facts: list[dict[str, Any]]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Split facts into those on which all agree, and what each says of the others; tables entry by entry."""
    shared: dict[str, Any] = {}
    own: list[dict[str, Any]] = [{} for _ in facts]
    for name in dict.fromkeys(name for one in facts for name in one):
        said = {place: one[name] for place, one in enumerate(facts) if name in one}
        values = list(said.values())
        if len(said) == len(facts) and all(isinstance(value, dict) for value in values):
            shared[name], parts = _compare(values)
            said = {place: part for place, part in enumerate(parts) if part}
        elif len(said) == len(facts) and all(value == values[0] for value in values):
            shared[name], said = values[0], {}
        for place, value in said.items():
            own[place][name] = value
    return shared, own


def _mean(tensors: list[Tensor]) -> Tensor:
    """Return the mean, in float64 until the end; of counters, which nothing reads any more, the first."""
    if not tensors[0].is_floating_point():
        return tensors[0]
    return torch.stack(tensors).double().mean(dim=0).to(tensors[0].dtype)
