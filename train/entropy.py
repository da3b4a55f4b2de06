"""How much room the generated digits take around each latent: what keeps rare ways of writing alive."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

DIRECTIONS: Final = 8
"""The digits of one class vary in about so many directions: more cost more and find little else."""
LOOKED_AT: Final = 16
"""So many digits of a batch are looked at, with as much more weight."""
REACH: Final = 0.1
"""How far a latent is moved, in standard deviations of the latents."""
FLOOR: Final = 0.3
"""A direction in which a digit moves less than this per unit of latent, where pixels span [-1, 1], counts
for nothing."""


class Moves(NamedTuple):
    """Where the entropy is estimated.

    Attributes:
        directions: float32 `[k, DIRECTIONS, latent_dim]`, standard normal, for k digits.
        rows: which k of a process's digits.
        weight: digits of the global batch over those that are looked at.
    """

    directions: Tensor
    rows: slice
    weight: float


def generate_around(generator: nn.Module, latent: Tensor, labels: list[Tensor], moves: Moves) -> Tensor:
    """Generate the digits of the chosen latents and of those a short way off, as they will be sampled.

    Returns:
        float32 `[k, 1 + DIRECTIONS, 784]` in [-1, 1].
    """
    centre = latent[moves.rows, None]
    around = torch.cat([centre, centre + REACH * moves.directions], 1)
    around_labels = [label[moves.rows].repeat_interleave(1 + DIRECTIONS) for label in labels]
    training = generator.training
    generator.eval()  # what a batch has in common is not a digit's own variety
    digits = generator(around.flatten(0, 1), *around_labels).float().flatten(1)
    generator.train(training)
    return torch.unflatten(digits, 0, around.shape[:2])


def local_entropy(around: Tensor) -> Tensor:
    """Estimate the entropy of a generator's digits near each latent, in nats, up to a constant; their sum.

    With J the generator's derivative by the latent and noise of deviation `FLOOR` added to its digits, that
    is log det(1 + J^t J / FLOOR^2) / 2, here for the J of a few directions at random. A discriminator that
    looks at one digit at a time says what is unlike a real one, and hardly what is missing; a little of this
    in G's loss makes G move apart what D lets it. The entropy of digits with noise as part of G's objective
    is from Dieng et al., arXiv 1910.04302.

    Args:
        around: float32 `[k, 1 + DIRECTIONS, 784]`, from `generate_around`.
    """
    tangents = (around[:, 1:] - around[:, :1]) / (REACH * FLOOR)
    gram = tangents @ tangents.mT + torch.eye(DIRECTIONS, device=around.device)
    # The plain `cholesky` would wait for the device, to raise where this gives what is no number.
    factor: Tensor = torch.linalg.cholesky_ex(gram).L
    return factor.diagonal(dim1=1, dim2=2).log().sum()
