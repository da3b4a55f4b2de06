"""Trains a classifier on digits: one recipe for the evaluation's own classifier and for the CAS."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from train.device import has_fast_bf16
from train.evaluate.network import Classifier, NetworkConfig

MAX_SHIFT = 2
"""Digits are shifted by up to so many pixels each way."""

Source = Callable[[int], tuple[Tensor, Tensor]]
"""Epoch number -> images uint8 `[n, 28, 28]` and labels int64 `[n]`."""


@dataclass(frozen=True)
class FitConfig:
    """How a classifier is trained.

    Attributes:
        network: its shape.
        epochs: passes over the digits.
        batch_size: digits per step.
        learning_rate: Adam's, at the start; it falls to 0 along a cosine.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    epochs: int = 6
    batch_size: int = 128
    learning_rate: float = 2e-3


def fit(
    source: Source, config: FitConfig, seed: int, progress: Callable[[int, int], None] | None = None
) -> Classifier:
    """Train a classifier and return it in evaluation mode.

    Args:
        source: gives each epoch's digits; the same ones each time, or fresh ones.
        config: shape and schedule.
        seed: decides the initial weights, the order and the shifts.
        progress: called with (steps done, steps in all) after each step.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(config.network).to(memory_format=torch.channels_last)
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
        done = 0
        for epoch in range(config.epochs):
            images, labels = source(epoch)
            padded = F.pad(images, (MAX_SHIFT,) * 4)
            order = torch.randperm(len(images))
            batches = order.split(config.batch_size)
            total = config.epochs * len(batches)
            for batch in batches:
                rate = config.learning_rate * 0.5 * (1 + math.cos(math.pi * done / total))
                _step(network, optimizer, _shift(padded, batch), labels[batch], rate)
                done += 1
                if progress is not None:
                    progress(done, total)
    return network.eval().requires_grad_(False)


def scale(images: Tensor) -> Tensor:
    """Map images uint8 `[n, 28, 28]` to float32 `[n, 1, 28, 28]` in [-1, 1]."""
    return images.unsqueeze(1).float() / 127.5 - 1


def _shift(padded: Tensor, batch: Tensor) -> Tensor:
    """Cut each digit of the batch out of its padded picture at a place of its own."""
    windows = padded.unfold(1, 28, 1).unfold(2, 28, 1)
    offsets = torch.randint(0, 2 * MAX_SHIFT + 1, (2, len(batch)))
    return scale(windows[batch, offsets[0], offsets[1]])


def _step(
    network: Classifier, optimizer: torch.optim.Optimizer, samples: Tensor, labels: Tensor, rate: float
) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16(torch.device("cpu"))):
        logits, _ = network(samples)
    loss = F.cross_entropy(logits.float(), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def accuracy(network: Classifier, images: Tensor, labels: Tensor) -> float:
    """Return the share of images uint8 `[n, 28, 28]` that a classifier reads as their label."""
    right = 0
    with torch.inference_mode():
        for chunk, wanted in zip(images.split(1000), labels.split(1000), strict=True):
            logits, _ = network(scale(chunk))
            right += int((logits.argmax(1) == wanted).sum())
    return right / len(images)
