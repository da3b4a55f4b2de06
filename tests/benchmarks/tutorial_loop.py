"""The tutorial's training loop as it is printed: DataLoader, float32, real and fake digits in two batches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from models.tutorial import TutorialConfig, TutorialDiscriminator, TutorialGenerator
from tests.train.idx_files import make_images

BATCH_SIZE: Final = 128
BATCHES: Final = 50
LEARNING_RATE: Final = 0.01


class Digits(Dataset[tuple[Tensor, int]]):
    """Does for each digit as torchvision's `MNIST` does: a Pillow picture, then the tutorial's transform."""

    def __init__(self) -> None:
        self._images = make_images(BATCHES * BATCH_SIZE)
        self._transform = transforms.Compose(  # type: ignore[no-untyped-call]
            [transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))]  # type: ignore[no-untyped-call]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._images[index])), 0


class TutorialLoop:
    """The networks and optimizers of the tutorial; each call of `step` is one turn of its inner loop."""

    def __init__(self) -> None:
        self.latent_dim = TutorialConfig().latent_dim
        self.generator, self.discriminator = TutorialGenerator(TutorialConfig()), TutorialDiscriminator()
        self.optim_d = torch.optim.Adam(self.discriminator.parameters(), lr=LEARNING_RATE)
        self.optim_g = torch.optim.Adam(self.generator.parameters(), lr=LEARNING_RATE)
        self.criterion = nn.BCEWithLogitsLoss()
        self.batches = self._load()

    def _load(self) -> Iterator[Tensor]:
        loader = DataLoader(Digits(), batch_size=BATCH_SIZE, shuffle=True)
        while True:
            for images, _ in loader:
                yield images

    def step(self) -> tuple[float, float, float]:
        """Update D, then G; return the tutorial's three losses, which it reads at every step."""
        real = next(self.batches)
        ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)

        self.optim_d.zero_grad()
        correct_real = self.criterion(self.discriminator(real), ones)
        fake = self.generator(torch.randn(len(real), self.latent_dim))
        correct_fake = self.criterion(self.discriminator(fake.detach()), zeros)
        ((correct_real + correct_fake) / 2).backward()
        self.optim_d.step()

        self.optim_g.zero_grad()
        fake = self.generator(torch.randn(len(real), self.latent_dim))
        g_loss = self.criterion(self.discriminator(fake), ones)
        g_loss.backward()
        self.optim_g.step()
        return correct_real.item(), correct_fake.item(), g_loss.item()
