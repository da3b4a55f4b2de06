"""The same generator in PyTorch, from latents to grey levels: eager and compiled."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mnist_sample.modelfile import ModelFile
from models.registry import get_architecture
from tests.gpu.sessions import Feeds
from tests.gpu.timing import Work

Draw = Callable[..., Tensor]


def make_draw(model: ModelFile, device: str) -> Draw:
    """Return the generator of a file's architecture, with random weights, down to uint8 `[n, 28, 28]`."""
    # As in the sampler's session: products in full float32.
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    architecture = get_architecture(model.architecture)
    config = architecture.config(latent_dim=model.latent_dim, classes=len(model.classes))
    generator: nn.Module = architecture.generator(config).eval().to(device)

    def draw(*inputs: Tensor) -> Tensor:
        samples: Tensor = generator(*inputs)
        return samples.mul(127.5).add(127.5).round().to(torch.uint8).squeeze(1)

    return draw


def make_works(draw: Draw, feeds: Feeds, device: str) -> tuple[Work, Work]:
    """Return two ways to run `draw`: all on the device, and from host to host."""
    host = [torch.from_numpy(rows) for rows in feeds.values()]
    inputs = [rows.to(device) for rows in host]

    @torch.inference_mode()
    def stay() -> None:
        draw(*inputs)
        if device == "cuda":
            torch.cuda.synchronize()

    @torch.inference_mode()
    def go_and_return() -> Tensor:
        return draw(*(rows.to(device) for rows in host)).cpu()

    return stay, go_and_return
