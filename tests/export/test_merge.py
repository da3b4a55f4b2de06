"""Computing several rows at once keeps what a generator computes, and is done only where it fits."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from export.merge import merge_rows
from export.traced import aten, trace
from tests.export.exported import Exported


class Shuffled(nn.Module):
    """A convolution of `[batch, 3, height, width]` and a pixel shuffle."""

    def __init__(self, layer: nn.Conv2d, factor: int = 2) -> None:
        super().__init__()
        self.layer, self.factor = layer, factor

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.layer(x)
        return F.pixel_shuffle(maps, self.factor)


class UsedTwice(Shuffled):
    """The convolution's own output is needed as well."""

    def forward(self, x: Tensor) -> Tensor:
        maps: Tensor = self.layer(x)
        return F.pixel_shuffle(maps, self.factor) + maps.mean()


class Activated(Shuffled):
    """What is shuffled is not the convolution's own output."""

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(F.relu(self.layer(x)), self.factor)


def merge(net: nn.Module, x: Tensor) -> tuple[fx.GraphModule, list[list[int]]]:
    """Return the merged graph and the strides of its convolutions."""
    traced = trace(net, (x,)).module()
    merge_rows(traced)
    layers = [node for node in traced.graph.nodes if node.target is aten.conv2d.default]
    return traced, [cast("list[int]", (*node.args, None, [1, 1])[3]) for node in layers]


MERGED = {
    "as in the digits generator": (Shuffled(nn.Conv2d(3, 4, 3, padding=1)), 14, 14, 4),
    "without a bias": (Shuffled(nn.Conv2d(3, 4, 3, padding=1, bias=False)), 6, 10, 4),
    "a height that divides": (Shuffled(nn.Conv2d(3, 4, 3, padding=1)), 8, 3, 4),
    "fewer rows than fit": (Shuffled(nn.Conv2d(3, 4, 3, padding=1)), 3, 6, 4),
    "without padding": (Shuffled(nn.Conv2d(3, 4, 3)), 9, 6, 4),
    "a kernel of one": (Shuffled(nn.Conv2d(3, 4, 1)), 5, 2, 4),
    "an oblong kernel": (Shuffled(nn.Conv2d(3, 4, (5, 3), padding=(2, 1))), 10, 6, 4),
    "blocks of one": (Shuffled(nn.Conv2d(3, 1, 3, padding=1), 1), 28, 28, 16),
}
"""What -> a network, height and width, and the rows that are made at once."""


@pytest.mark.parametrize("what", MERGED)
def test_merging_keeps_the_function(what: str) -> None:
    net, height, width, rows = MERGED[what]
    x = torch.randn(5, 3, height, width, generator=torch.Generator().manual_seed(0))
    merged, strides = merge(net, x)
    assert strides == [[rows, 1]]
    torch.testing.assert_close(merged(x), net(x), rtol=1e-6, atol=1e-6)


LEFT = {
    "a shuffle that fills the lanes": (Shuffled(nn.Conv2d(3, 9, 3, padding=1), 3), 6, 6),
    "two colours": (Shuffled(nn.Conv2d(3, 8, 3, padding=1)), 6, 6),
    "three channels that stay": (Shuffled(nn.Conv2d(3, 3, 3, padding=1), 1), 4, 6),
    "a stride": (Shuffled(nn.Conv2d(3, 4, 3, stride=2, padding=1)), 8, 8),
    "a dilation": (Shuffled(nn.Conv2d(3, 4, 3, dilation=2, padding=2)), 6, 6),
    "a second user": (UsedTwice(nn.Conv2d(3, 4, 3, padding=1)), 6, 6),
    "an activation between": (Activated(nn.Conv2d(3, 4, 3, padding=1)), 6, 6),
}


@pytest.mark.parametrize("what", LEFT)
def test_what_does_not_fit_is_left_as_it_is(what: str) -> None:
    net, height, width = LEFT[what]
    x = torch.randn(5, 3, height, width, generator=torch.Generator().manual_seed(0))
    merged, strides = merge(net, x)
    assert strides == [list(net.layer.stride)]
    assert torch.equal(merged(x), net(x))


def test_groups_are_left_as_they_are() -> None:
    net = Shuffled(nn.Conv2d(4, 4, 3, padding=1, groups=2))
    x = torch.randn(5, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    merged, strides = merge(net, x)
    assert strides == [[1, 1]]
    assert torch.equal(merged(x), net(x))


def test_the_exported_digits_generator_makes_four_rows_at_once(digits: Exported) -> None:
    last = [node for node in digits.model.graph.node if node.op_type == "Conv"][-1]
    assert {attribute.name: list(attribute.ints) for attribute in last.attribute}["strides"] == [4, 1]
