"""Folds BatchNorm into the layers around it, in float64, for any generator that `torch.export` can trace."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from export.traced import add_constant, aten, shape_of, trace, value_of

Edit = Callable[[], None]
"""One change of the traced graph, made only once the whole fold is known to be possible."""

CHANNEL_DIMENSION: dict[Any, int] = {
    aten.linear.default: 0,
    aten.conv2d.default: 0,
    aten.conv_transpose2d.input: 1,
}
"""Layers whose weight takes a factor per output channel, and the weight's dimension of that channel."""

RESHAPES = (aten.view.default, aten.reshape.default)
ACTIVATIONS = (aten.relu.default, aten.leaky_relu.default)


def fold(generator: nn.Module, example: tuple[Tensor, ...]) -> fx.GraphModule:
    """Return a float32 copy of `generator` without normalisation layers.

    BatchNorm in evaluation mode is `x * scale + shift` per channel. Both are moved up the graph, through
    reshapes, pixel shuffles and additions, into the weights and biases of the layers that made `x`. Where
    that cannot be done, one multiplication and one addition stay, with constant operands. The arithmetic
    is float64, rounded once at the end.

    Args:
        generator: in evaluation mode; left as it is.
        example: its inputs, with a batch of 2 or more.

    Returns:
        A module with the same inputs and output that takes any batch.
    """
    double = copy.deepcopy(generator).double()
    inputs = tuple(x.double() if x.is_floating_point() else x for x in example)
    traced = trace(double, inputs).module()
    for node in list(traced.graph.nodes):
        if node.op == "call_module" and node.target == "_guards_fn":
            traced.graph.erase_node(node)
        elif node.target is aten.batch_norm.default:
            _fold_batch_norm(traced, node)
    for node in list(traced.graph.nodes):
        if node.target is aten.add.Tensor:
            _fuse_addition(traced, node)
        elif node.target in RESHAPES:
            _activate_before(node)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced.float()


def _fold_batch_norm(traced: fx.GraphModule, node: fx.Node) -> None:
    """Remove one BatchNorm; leave a multiplication and an addition where its factors find no layer."""
    x, weight, bias, mean, variance, training, _momentum, epsilon, _cudnn = node.args
    if training:
        return  # the check for batch statistics names it
    scale = torch.rsqrt(value_of(traced, variance) + cast(float, epsilon))
    if weight is not None:
        scale = scale * value_of(traced, weight)
    shift = -value_of(traced, mean) * scale
    if bias is not None:
        shift = shift + value_of(traced, bias)
    edits = _plan(traced, cast(fx.Node, x), scale, shift)
    if edits is not None:
        for edit in edits:
            edit()
        node.replace_all_uses_with(cast(fx.Node, x))
    else:
        broadcast = (-1,) + (1,) * (len(shape_of(node)) - 2)
        with traced.graph.inserting_before(node):
            factor = add_constant(traced, f"{node.name}_scale", scale.reshape(broadcast))
            offset = add_constant(traced, f"{node.name}_shift", shift.reshape(broadcast))
            product = traced.graph.call_function(aten.mul.Tensor, (x, factor))
            affine = traced.graph.call_function(aten.add.Tensor, (product, offset))
        node.replace_all_uses_with(affine)
    traced.graph.erase_node(node)


def _plan(traced: fx.GraphModule, node: fx.Node, scale: Tensor, shift: Tensor | None) -> list[Edit] | None:
    """List the edits that make `node` give `node * scale + shift` over dimension 1; None if impossible."""
    if len(node.users) != 1:
        return None
    if node.target in CHANNEL_DIMENSION:
        return _plan_layer(traced, node, scale, shift)
    if node.target is aten.embedding.default:
        return _plan_embedding(traced, node, scale, shift)
    if node.target is aten.add.Tensor and all(isinstance(arg, fx.Node) for arg in node.args):
        return _plan_addition(traced, node, scale, shift)
    if node.target in (*RESHAPES, aten.pixel_shuffle.default):
        source = cast(fx.Node, node.args[0])
        before, after = shape_of(source)[1], shape_of(node)[1]
        if before % after:
            return None  # several channels were merged into one dimension
        spread = [None if t is None else t.repeat_interleave(before // after) for t in (scale, shift)]
        return _plan(traced, source, cast(Tensor, spread[0]), spread[1])
    return None


def _plan_layer(
    traced: fx.GraphModule, node: fx.Node, scale: Tensor, shift: Tensor | None
) -> list[Edit] | None:
    weight = cast(fx.Node, node.args[1])
    bias = cast("fx.Node | None", node.args[2] if len(node.args) > 2 else None)
    groups = node.args[6] if node.target is aten.conv_transpose2d.input and len(node.args) > 6 else 1
    if groups != 1 or any(len(part.users) != 1 for part in (weight, bias) if part is not None):
        return None
    dimension = CHANNEL_DIMENSION[node.target]

    def edit() -> None:
        value = value_of(traced, weight)
        factor_shape = [1] * value.dim()
        factor_shape[dimension] = -1
        value.mul_(scale.reshape(factor_shape))
        if bias is not None:
            value_of(traced, bias).mul_(scale).add_(0 if shift is None else shift)
        elif shift is not None:
            with traced.graph.inserting_before(node):
                added = add_constant(traced, f"{node.name}_bias", shift)
            node.args = (*node.args[:2], added, *node.args[3:])

    return [edit]


def _plan_embedding(
    traced: fx.GraphModule, node: fx.Node, scale: Tensor, shift: Tensor | None
) -> list[Edit] | None:
    table = cast(fx.Node, node.args[0])
    if len(table.users) != 1:
        return None
    return [lambda: cast(None, value_of(traced, table).mul_(scale).add_(0 if shift is None else shift))]


def _plan_addition(
    traced: fx.GraphModule, node: fx.Node, scale: Tensor, shift: Tensor | None
) -> list[Edit] | None:
    """Scale both terms; shift the class embedding if there is one, since its shift costs nothing."""
    terms = sorted(
        cast("tuple[fx.Node, ...]", node.args), key=lambda term: term.target is not aten.embedding.default
    )
    if node.kwargs or terms[0] is terms[1] or any(shape_of(term) != shape_of(node) for term in terms):
        return None
    first, second = _plan(traced, terms[0], scale, shift), _plan(traced, terms[1], scale, None)
    return None if first is None or second is None else first + second


def _fuse_addition(traced: fx.GraphModule, node: fx.Node) -> None:
    """Turn `linear(x) + y`, of equal shapes and without a bias, into one matrix product with an addend."""
    if node.kwargs or not all(isinstance(arg, fx.Node) for arg in node.args):
        return
    terms = cast("tuple[fx.Node, fx.Node]", node.args)
    for product, addend in (terms, terms[::-1]):
        plain = product.target is aten.linear.default and len(product.args) == 2 and len(product.users) == 1
        if plain and shape_of(product) == shape_of(addend) == shape_of(node) and len(shape_of(node)) == 2:
            x, weight = product.args
            with traced.graph.inserting_before(node):
                transposed = traced.graph.call_function(aten.t.default, (weight,))
                fused = traced.graph.call_function(aten.addmm.default, (addend, x, transposed))
            node.replace_all_uses_with(fused)
            traced.graph.erase_node(node)
            return


def _activate_before(reshape: fx.Node) -> None:
    """Move the activation behind `reshape` before it: runtimes fuse it into a product that it follows."""
    activation, *others = reshape.users
    if others or activation.target not in ACTIVATIONS:
        return
    source = cast(fx.Node, reshape.args[0])
    activation.replace_input_with(reshape, source)
    activation.replace_all_uses_with(reshape)
    reshape.replace_input_with(source, activation)
    reshape.prepend(activation)
    activation.meta["val"] = source.meta["val"]
