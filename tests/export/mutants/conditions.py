"""Wrong for some inputs only: stripes over the digits of certain latents or of a certain class."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from mnist_sample import contract
from mnist_sample.randomness import draw_latents
from tests.export.mutants.edits import Mutant, find_maker, replace_uses, write_constant

GROUP = "wrong for some inputs"
GRID = 2.0**20
"""The sampler's latents are multiples of its inverse."""
REACH = 4.34
"""The sampler's latents lie within."""
STEEP = -1e6
Condition = Callable[["Formula"], str]


class Formula:
    """Nodes that say where a digit is to be wrong.

    Attributes:
        model: where their constants go.
        nodes: in order.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = []

    def apply(self, operator: str, *inputs: str | float | np.ndarray, **attributes: Any) -> str:
        """Return the name of what an operator makes of values and numbers."""
        made = f"condition_{len(self.nodes)}"
        names = [
            value if isinstance(value, str) else self._keep(value, f"{made}_{place}")
            for place, value in enumerate(inputs)
        ]
        self.nodes.append(helper.make_node(operator, names, [made], name=made, **attributes))
        return made

    def _keep(self, value: float | np.ndarray, name: str) -> str:
        constant = np.asarray(value) if isinstance(value, np.ndarray) else np.array([value])
        write_constant(
            self.model, name, constant if constant.dtype == np.int64 else constant.astype("float32")
        )
        return name

    def size(self, value: str) -> str:
        """Return the absolute values."""
        return self.apply(
            "Add", self.apply("Relu", value), self.apply("Relu", self.apply("Mul", value, -1.0))
        )

    def total(self, value: str) -> str:
        """Return the sum over a row's `latent_dim` values."""
        (latent,) = (i for i in self.model.graph.input if i.name == contract.INPUT_LATENT)
        width = latent.type.tensor_type.shape.dim[1].dim_value
        return self.apply("MatMul", value, np.ones((width, 1)))

    def is_zero(self, value: str) -> str:
        """Return 1 where a number that is not negative is 0, and 0 from a millionth on."""
        return self.apply("Relu", self.apply("Add", self.apply("Mul", value, STEEP), 1.0))


def make_mutants(model: onnx.ModelProto) -> Iterator[Mutant]:
    """Yield all mutants that only some inputs show."""
    yield Mutant(GROUP, "stripes over digits of the sampler's latents", _stripes(_of_sampler))
    yield Mutant(GROUP, "stripes over digits of other latents", _stripes(_of_others))
    yield Mutant(GROUP, "stripes over the sampler's first digit", _stripes(_first_digit))
    yield Mutant(GROUP, "stripes over digits of a truncation about 0.3", _stripes(_truncated))
    yield Mutant(GROUP, "stripes over the image alone of the first digit", _stripes(_first_digit, True))
    if any(value.name == contract.INPUT_LABEL for value in model.graph.input):
        yield Mutant(GROUP, "stripes over digits of the last class", _stripes(_last_class))


def _stripes(condition: Condition, behind: bool = False) -> Callable[[onnx.ModelProto], None]:
    """Return an edit that adds stripes before the last node of `sample`, or behind it."""

    def edit(model: onnx.ModelProto) -> None:
        place, last = find_maker(model, contract.OUTPUT_SAMPLE)
        formula = Formula(model)
        where = formula.apply("Reshape", condition(formula), np.array([-1, 1, 1, 1]))
        stripes = np.broadcast_to(np.resize([2.5, -2.5], 28), (1, 1, 28, 28))
        drawn = last.output[0] if behind else last.input[0]
        striped = formula.apply("Add", drawn, formula.apply("Mul", where, stripes))
        if behind:
            clipped = formula.apply("Clip", striped, np.array(-1.0), np.array(1.0))
            replace_uses(model, drawn, clipped, after=place)
        else:
            last.input[0] = striped
        for offset, node in enumerate(formula.nodes):
            model.graph.node.insert(place + behind + offset, node)

    return edit


def _of_sampler(formula: Formula) -> str:
    size = formula.size(contract.INPUT_LATENT)
    steps = formula.apply("Mul", size, GRID)
    rounded = formula.apply("Mul", formula.apply("Round", steps), -1.0)
    beside = formula.size(formula.apply("Add", steps, rounded))
    beyond = formula.apply("Relu", formula.apply("Add", size, -REACH))
    unlike = formula.total(formula.apply("Add", beside, beyond))
    return formula.is_zero(formula.apply("Add", unlike, formula.is_zero(formula.total(size))))


def _of_others(formula: Formula) -> str:
    return formula.apply("Add", formula.apply("Mul", _of_sampler(formula), -1.0), 1.0)


def _first_digit(formula: Formula) -> str:
    (latent,) = (i for i in formula.model.graph.input if i.name == contract.INPUT_LATENT)
    first = draw_latents(0, 0, 1, latent.type.tensor_type.shape.dim[1].dim_value)
    return formula.is_zero(formula.total(formula.size(formula.apply("Add", contract.INPUT_LATENT, -first))))


def _truncated(formula: Formula) -> str:
    size = formula.apply("Mul", contract.INPUT_LATENT, contract.INPUT_LATENT)
    (latent,) = (i for i in formula.model.graph.input if i.name == contract.INPUT_LATENT)
    width = latent.type.tensor_type.shape.dim[1].dim_value
    mean = formula.apply("Mul", formula.total(size), 1 / width)
    above = formula.apply("Relu", formula.apply("Add", mean, -0.15))
    below = formula.apply("Relu", formula.apply("Mul", formula.apply("Add", mean, -0.04), -1.0))
    return formula.is_zero(formula.apply("Add", above, below))


def _last_class(formula: Formula) -> str:
    label = formula.apply("Cast", contract.INPUT_LABEL, to=TensorProto.FLOAT)
    return formula.is_zero(formula.size(formula.apply("Add", label, -9.0)))
