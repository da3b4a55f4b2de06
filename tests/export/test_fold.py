"""Folding keeps what a generator computes, whatever surrounds its normalisation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.fold import fold
from export.traced import aten
from tests.models.checkpoints import randomise_normalisation


class Net(nn.Module):
    """A small network from `[batch, 8]`, given by its layers and how they are put together."""

    def __init__(self, connect: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.connect, self.layers = connect, nn.ModuleDict(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.connect(x, **self.layers)


def maps(x: Tensor) -> Tensor:
    return x.view(-1, 2, 2, 2)


NETS: dict[str, tuple[Callable[[], Net], int]] = {
    "a linear layer": (
        lambda: Net(lambda x, a, n: n(a(x)), a=nn.Linear(8, 6, bias=False), n=nn.BatchNorm1d(6)),
        0,
    ),
    "a layer with a bias, no affine map": (
        lambda: Net(lambda x, a, n: n(a(x)), a=nn.Linear(8, 6), n=nn.BatchNorm1d(6, affine=False)),
        0,
    ),
    "a convolution": (
        lambda: Net(lambda x, a, n: n(a(maps(x))), a=nn.Conv2d(2, 6, 3, padding=1), n=nn.BatchNorm2d(6)),
        0,
    ),
    "a transposed convolution": (
        lambda: Net(lambda x, a, n: n(a(maps(x))), a=nn.ConvTranspose2d(2, 6, 4, 2, 1), n=nn.BatchNorm2d(6)),
        0,
    ),
    "a grouped transposed convolution": (
        lambda: Net(
            lambda x, a, n: n(a(maps(x))), a=nn.ConvTranspose2d(2, 6, 2, groups=2), n=nn.BatchNorm2d(6)
        ),
        1,
    ),
    "reshape and activation behind a linear layer": (
        lambda: Net(lambda x, a, n: F.relu(n(maps(a(x)))), a=nn.Linear(8, 8), n=nn.BatchNorm2d(2)),
        0,
    ),
    "a reshape that merges channels": (
        lambda: Net(lambda x, a, n: n(a(maps(x)).view(-1, 3, 8)), a=nn.Conv2d(2, 6, 1), n=nn.BatchNorm1d(3)),
        0,
    ),
    "pixel shuffle": (
        lambda: Net(
            lambda x, a, n: n(F.pixel_shuffle(a(maps(x)), 2)), a=nn.Conv2d(2, 8, 1), n=nn.BatchNorm2d(2)
        ),
        0,
    ),
    "the sum of two layers": (
        lambda: Net(
            lambda x, a, b, n: n(a(x) + b(x)), a=nn.Linear(8, 6), b=nn.Linear(8, 6), n=nn.BatchNorm1d(6)
        ),
        0,
    ),
    "a layer added to itself": (
        lambda: Net(lambda x, a, n: (lambda y: n(y + y))(a(x)), a=nn.Linear(8, 6), n=nn.BatchNorm1d(6)),
        1,
    ),
    "a layer with two users": (
        lambda: Net(lambda x, a, n: (lambda y: n(y) + y)(a(x)), a=nn.Linear(8, 6), n=nn.BatchNorm1d(6)),
        1,
    ),
    "one layer used twice": (
        lambda: Net(lambda x, a, n: n(a(x)) + a(-x), a=nn.Linear(8, 6), n=nn.BatchNorm1d(6)),
        1,
    ),
    "an activation before it": (
        lambda: Net(lambda x, a, n: n(F.relu(a(x))), a=nn.Linear(8, 6), n=nn.BatchNorm1d(6)),
        1,
    ),
    "a chain of dense layers": (
        lambda: Net(
            lambda x, a, k, b, m, c, n: F.relu(n(maps(c(F.relu(m(b(F.relu(k(a(x)))))))))),
            a=nn.Linear(8, 6, bias=False),
            k=nn.BatchNorm1d(6),
            b=nn.Linear(6, 5, bias=False),
            m=nn.BatchNorm1d(5),
            c=nn.Linear(5, 8, bias=False),
            n=nn.BatchNorm2d(2),
        ),
        0,
    ),
    "two in a row": (
        lambda: Net(
            lambda x, a, m, n: n(m(a(x))),
            a=nn.Linear(8, 6, bias=False),
            m=nn.BatchNorm1d(6),
            n=nn.BatchNorm1d(6),
        ),
        0,
    ),
}
"""What -> a network, and how many multiplications folding cannot avoid."""


@pytest.mark.parametrize("what", NETS)
def test_folding_keeps_the_function(what: str) -> None:
    build, multiplications = NETS[what]
    torch.manual_seed(0)
    net = build().eval()
    randomise_normalisation(net, torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold(net, (torch.zeros(3, 8),))
    x = torch.randn(50, 8)
    torch.testing.assert_close(folded(x), net(x), rtol=1e-5, atol=1e-5)
    targets = [node.target for node in folded.graph.nodes]
    assert aten.batch_norm.default not in targets
    assert targets.count(aten.mul.Tensor) == multiplications
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_folding_is_as_exact_as_float64_allows() -> None:
    """A variance near zero makes factors of hundreds: only one rounding is left, of the folded weight."""
    torch.manual_seed(0)
    net = NETS["a linear layer"][0]().eval()
    variance = net.layers["n"].running_var
    assert isinstance(variance, Tensor)
    variance.fill_(1e-5)
    x = torch.randn(200, 8)
    exact = Net(net.connect, **{name: layer.double() for name, layer in net.layers.items()})(x.double())
    net.float()
    error = (fold(net, (torch.zeros(3, 8),))(x) - exact).abs().max() / exact.abs().max()
    assert error < 1e-6
