"""Lets the convolution before a pixel shuffle make several rows at once."""

from __future__ import annotations

from math import ceil
from typing import Any, cast

import torch
from torch import Tensor, fx

from export.traced import add_constant, aten, shape_of, value_of

LANES = 16
"""Channels that onnxruntime's convolutions compute together on AVX-512; with fewer the others run idle."""


def merge_rows(traced: fx.GraphModule) -> None:
    """Let `conv(x)` in `pixel_shuffle(conv(x), r)` make as many rows at once as `LANES` channels hold.

    A convolution to 4 channels, for 2 x 2 pixels, takes onnxruntime as long as one to 16. Here the kernel is
    laid into a taller one at each of 4 rows, of stride 4: four times the channels in a quarter of the rows.
    Each output is the same sum, but for products with zero. Rows keep their width, since their ends take the
    longest. Where blocks of 4 do not fill the height, rows above the first are made, and cut off: padding is
    the same on both sides. The channels become the last dimension first, which costs the runtime nothing and
    lets the shuffle move the pixels of a row together.

    Args:
        traced: of a generator, folded, with the shapes of its values; changed in place.
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
    rows = LANES // channels
    plain = all(n == 1 for n in (*stride, *dilation, groups))
    if not plain or channels != factor**2 or rows < 2:
        return
    blocks = ceil(height / rows)
    above = blocks * rows - height
    call = traced.graph.call_function
    with traced.graph.inserting_before(layer):
        kernel = add_constant(traced, f"{layer.name}_kernel", _lay_out(value_of(traced, weight), rows))
        if bias is not None:
            bias = add_constant(traced, f"{layer.name}_offset", value_of(traced, bias).repeat(rows))
        padding = [padding[0] + above, padding[1]]
        made = call(aten.conv2d.default, (x, kernel, bias, [rows, 1], padding))
        last = call(aten.permute.default, (made, [0, 2, 3, 1]))
        # Views keep the -1: of a reshape, some versions of the exporter compute the batch in the graph.
        split = call(aten.view.default, (last, [-1, blocks, width, rows * factor, factor]))
        ordered = call(aten.contiguous.default, (call(aten.permute.default, (split, [0, 1, 3, 2, 4])),))
        pixels = call(aten.view.default, (ordered, [-1, 1, blocks * rows * factor, width * factor]))
        if above:  # by index, since the contract knows no operator that slices
            kept = torch.arange(above * factor, blocks * rows * factor)
            places = add_constant(traced, f"{layer.name}_rows", kept)
            pixels = call(aten.index_select.default, (pixels, 2, places))
    shuffle.replace_all_uses_with(pixels)


def _spell_out(layer: fx.Node) -> tuple[Any, ...]:
    """Return all arguments of a convolution, the defaults too."""
    defaults = (None, None, None, [1, 1], [0, 0], [1, 1], 1)
    return layer.args + defaults[len(layer.args) :]


def _lay_out(kernel: Tensor, rows: int) -> Tensor:
    """Return a kernel of `rows - 1` more rows that holds `kernel` at each offset, one after the other."""
    channels, inputs, height, width = kernel.shape
    laid = kernel.new_zeros(rows, channels, inputs, height + rows - 1, width)
    for down in range(rows):
        laid[down, :, :, down : down + height] = kernel
    return laid.flatten(0, 1)
