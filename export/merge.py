"""Lets the convolution before a pixel shuffle make a block of neighbouring positions at once."""

from __future__ import annotations

from typing import Any, cast

from torch import Tensor, fx

from export.traced import add_constant, aten, shape_of, value_of

SIDE = 2
"""Positions per side of a block."""
LANES = 16
"""Channels that onnxruntime's convolutions compute together on AVX-512; with fewer the others run idle."""


def merge_positions(traced: fx.GraphModule) -> None:
    """Turn `pixel_shuffle(conv(x), r)` with few channels into `pixel_shuffle(conv'(x), 2 r)`, in place.

    A convolution to 4 channels, for 2 x 2 pixels, takes onnxruntime as long as one to 16. Here the kernel is
    laid into a larger one, of stride 2, at each of 2 x 2 offsets: four times the channels at a quarter of the
    positions. Each output is the same sum, but for products with zero.

    Args:
        traced: of a generator, folded, with the shapes of its values.
    """
    for shuffle in list(traced.graph.nodes):
        if shuffle.target is aten.pixel_shuffle.default:
            _merge(traced, shuffle)
    traced.graph.eliminate_dead_code()
    traced.recompile()


def _merge(traced: fx.GraphModule, shuffle: fx.Node) -> None:
    layer, factor = cast("tuple[fx.Node, int]", shuffle.args)
    if layer.target is not aten.conv2d.default or len(layer.users) != 1:
        return
    x, weight, bias, stride, padding, dilation, groups = _spell_out(layer)
    channels, height, width = shape_of(layer)[1:]
    plain = all(n == 1 for n in (*stride, *dilation, groups))
    if not plain or height % SIDE or width % SIDE or channels * SIDE**2 > LANES:
        return
    kernel = value_of(traced, weight)
    with traced.graph.inserting_before(layer):
        merged: list[Any] = [x, add_constant(traced, f"{layer.name}_kernel", _lay_out(kernel, factor))]
        if bias is None:
            merged.append(None)
        else:
            spread = _spread(value_of(traced, bias).expand(SIDE, SIDE, -1), factor)
            merged.append(add_constant(traced, f"{layer.name}_offset", spread))
        blocks = traced.graph.call_function(aten.conv2d.default, (*merged, [SIDE, SIDE], padding))
        pixels = traced.graph.call_function(aten.pixel_shuffle.default, (blocks, factor * SIDE))
    shuffle.replace_all_uses_with(pixels)


def _spell_out(layer: fx.Node) -> tuple[Any, ...]:
    """Return all arguments of a convolution, the defaults too."""
    defaults = (None, None, None, [1, 1], [0, 0], [1, 1], 1)
    return layer.args + defaults[len(layer.args) :]


def _lay_out(kernel: Tensor, factor: int) -> Tensor:
    """Return a kernel of `SIDE - 1` more rows and columns that holds `kernel` at each offset."""
    channels, inputs, rows, columns = kernel.shape
    blocks = kernel.new_zeros(SIDE, SIDE, channels, inputs, rows + SIDE - 1, columns + SIDE - 1)
    for down in range(SIDE):
        for right in range(SIDE):
            blocks[down, right, :, :, down : down + rows, right : right + columns] = kernel
    return _spread(blocks, factor)


def _spread(blocks: Tensor, factor: int) -> Tensor:
    """Order `[down, right, channel, ...]` as a pixel shuffle by `factor * SIDE` reads its channels."""
    down, right, channels, *rest = blocks.shape
    split = blocks.reshape(down, right, channels // factor**2, factor, factor, *rest)
    order = (2, 0, 3, 1, 4, *range(5, split.dim()))
    return split.permute(order).reshape(down * right * channels, *rest).contiguous()
