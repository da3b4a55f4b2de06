"""Checks that run the file beside PyTorch, beside itself, and in ONNX's reference evaluator."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from onnx.reference import ReferenceEvaluator

from export.checks.candidate import (
    SCALES,
    Array,
    Arrays,
    Candidate,
    Finding,
    evaluating,
    find_largest,
    largest_difference,
    run_session,
)
from export.checks.exact import check_exact
from export.checks.greyscale import compare_grey
from export.errors import (
    BatchMateError,
    InexactConstantsError,
    OptimisationLevelError,
    ReferenceEvaluatorError,
    RepeatError,
    ValueMismatchError,
)
from mnist_sample import contract
from mnist_sample.engine import onnxruntime as ort
from mnist_sample.errors import MnistSampleError
from mnist_sample.sampler import MAX_TRUNCATION
from mnist_sample.text import first_line

BATCHES = (1, 2, 3, 7, 64, 257)
MAX_ATOL = 1e-3
"""An eighth of a grey level: with more, a picture could differ from PyTorch's by more than rounding."""
GREATEST = 1 + 2 * float(np.finfo(np.float32).eps)
"""What `sample` may reach: onnxruntime's Tanh goes a last place beyond 1."""
FRESH_SLACK = 2.0
"""How many times the tolerance fresh latents may take: else a file that held would not hold by bad luck."""
TOLERATED_RATIO = 4.0
"""Up to how many times PyTorch's own error in float32 the tolerance, not the file, is called at fault."""
DOUBTFUL_RATIO = 100.0
"""Up to how many times the graph is first computed in float64, to tell whose fault it is."""
SPARE = 1.5
"""How much more than was seen a tolerance should allow that is proposed."""
LEVELS = {
    "none": ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": ort.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


def check_values(candidate: Candidate) -> Finding:
    """`sample` against PyTorch in float32, and both against PyTorch in float64.

    Batches of 1, 2, 3, 7, 64 and 257, every label at every batch size, normal latents, those of the sampler
    and extreme ones; once from a fixed seed, whose figures the file keeps, and once from a fresh one, for
    which twice the tolerance is allowed.

    Raises:
        ValueMismatchError: `sample` leaves [-1, 1], or differs; says at which batch and label, and which side
            the error is on.
        GreyScaleError: `image` is not the rounded `sample` there.
    """
    recorded = _worst_errors(candidate, candidate.seed, 1.0)
    fresh = _worst_errors(candidate, candidate.fresh_seed, FRESH_SLACK)
    worst = {name: max(recorded[name], fresh[name]) for name in recorded}
    text = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    return Finding("values", f"sample differs by {text} (atol {candidate.atol:.0e})", recorded)


def _worst_errors(candidate: Candidate, seed: int, slack: float) -> dict[str, float]:
    """Return the largest differences over all batches of one seed; extreme latents are compared, not kept."""
    worst = dict.fromkeys(("onnx-float64", "torch-float64", "onnx-torch"), 0.0)
    for inputs, scale in _cases(candidate, seed):
        exact = candidate.run_torch(inputs, torch.float64)
        single = candidate.run_torch(inputs, torch.float32)
        try:
            image, sample = candidate.run(inputs)
        except MnistSampleError:
            raise
        except Exception as error:  # onnxruntime's errors share no base class
            raise ValueMismatchError(
                f"onnxruntime fails on a batch of {len(exact)}: {first_line(error)}"
            ) from error
        if sample.shape != exact.shape:
            raise ValueMismatchError(f"sample has the shape {sample.shape}, PyTorch gives {exact.shape}")
        theirs, ours = largest_difference(single, exact), largest_difference(sample, exact)
        allowed = slack * candidate.atol * max(scale, 1.0)  # float32's errors grow with the latents
        if not ours <= allowed:
            told = f"PyTorch in float32: {theirs:.1e}; allowed {allowed:.0e}"
            raise ValueMismatchError(
                _describe_mismatch(candidate, inputs, scale, sample, exact, theirs, told)
            )
        if not np.abs(sample).max() <= GREATEST:
            raise ValueMismatchError(f"sample goes to {np.abs(sample).max():.8g}, beyond [-1, 1]")
        compare_grey(f"a batch of {len(exact)}", image, sample)
        if scale == 1:
            found = (ours, theirs, largest_difference(sample, single))
            worst = {name: max(worst[name], value) for name, value in zip(worst, found, strict=True)}
    return worst


def _cases(candidate: Candidate, seed: int) -> Iterator[tuple[Arrays, float]]:
    """Yield inputs and the scale of their latents: at every batch size as many batches as show all labels.

    Among them are the digits that everybody draws first, and truncated ones.
    """
    classes = max(candidate.checkpoint.config.classes, 1)
    for n in BATCHES:
        for offset in range(0, classes, n):
            yield candidate.draw(n, seed + offset), 1.0
    yield candidate.draw_first(BATCHES[-1]), 1.0
    yield candidate.draw_truncated(BATCHES[-1], seed), MAX_TRUNCATION
    for scale in SCALES:
        yield candidate.draw(max(classes, 2), seed, scale), scale


def _describe_mismatch(
    candidate: Candidate, inputs: Arrays, scale: float, sample: Array, exact: Array, theirs: float, told: str
) -> str:
    errors = np.nan_to_num(np.abs(sample - exact), nan=np.inf).reshape(len(exact), -1).max(1)
    row = int(errors.argmax())
    label = f", label {inputs[contract.INPUT_LABEL][row]}" if contract.INPUT_LABEL in inputs else ""
    if not np.isfinite(theirs):
        side = "PyTorch in float32 overflows as well: the checkpoint's weights are too large; train it again."
    elif errors[row] <= TOLERATED_RATIO * theirs:
        side = f"PyTorch in float32 is as far off, and can do no better: {_find_remedy(candidate)}."
    elif errors[row] <= DOUBTFUL_RATIO * theirs and _is_exact(candidate):
        side = f"In float64 the graph is right, and float32 can do no better: {_find_remedy(candidate)}."
    else:
        side = "The error is on the ONNX side: the file is not this checkpoint."
    return (
        f"sample differs by {errors[row]:.1e} from PyTorch in float64 ({told}): batch {len(exact)}, "
        f"row {row}{label}, latents times {scale:g}.\n{side}"
    )


def _is_exact(candidate: Candidate) -> bool:
    try:
        check_exact(candidate)
    except InexactConstantsError:
        return False
    return True


def _find_remedy(candidate: Candidate) -> str:
    """Return what to do where float32 is too coarse for the tolerance: what all latents together ask for."""
    needed = 0.0
    for seed in (candidate.seed, candidate.fresh_seed):
        for inputs, scale in _cases(candidate, seed):
            exact, (_, sample) = candidate.run_torch(inputs, torch.float64), candidate.run(inputs)
            needed = find_largest([needed, SPARE * largest_difference(sample, exact) / max(scale, 1.0)])
    if not needed <= MAX_ATOL:
        return "train one of smaller weights"
    unit = 10.0 ** math.floor(math.log10(needed))
    return f"try --atol {math.ceil(needed / unit) * unit:.0e}"


def check_rows_alone(candidate: Candidate) -> Finding:
    """Each row alone gives what it gives within a batch.

    Raises:
        BatchMateError: `image` differs by more than one level, or `sample` by more than `atol`.
    """
    inputs = candidate.draw(BATCHES[-1], candidate.seed)
    image, sample = candidate.run(inputs)
    alone = [
        candidate.run({name: rows[i : i + 1] for name, rows in inputs.items()}) for i in range(len(image))
    ]
    levels = int(np.abs(np.concatenate([row[0] for row in alone]).astype(int) - image).max())
    difference = largest_difference(np.concatenate([row[1] for row in alone]), sample)
    if levels > 1 or not difference <= candidate.atol:
        raise BatchMateError(
            f"a row alone differs from itself in a batch of {len(image)} by {difference:.1e} in sample "
            f"and {levels} of 255 levels in image"
        )
    equal = difference == levels == 0
    how = "equal to the bit" if equal else f"sample {difference:.1e}, image {levels} of 255 levels"
    return Finding("rows alone", f"{how} in a batch of {len(image)}", {"row-alone": difference})


def check_repeat(candidate: Candidate) -> Finding:
    """Two runs, and two sessions, give the same bits.

    Raises:
        RepeatError: they do not.
    """
    inputs = candidate.draw(BATCHES[-2], candidate.fresh_seed)
    first, second = candidate.run(inputs), candidate.run(inputs)
    again = run_session(candidate.open_session(LEVELS["all"]), inputs)
    for other in (second, again):
        if any(a.tobytes() != b.tobytes() for a, b in zip(first, other, strict=True)):
            raise RepeatError("two runs on the same input differ")
    return Finding("repeat", "two runs and two sessions equal to the bit")


def check_optimisation_levels(candidate: Candidate) -> Finding:
    """Onnxruntime gives the same at each of its graph optimisation levels.

    Raises:
        OptimisationLevelError: names the level.
    """
    inputs = candidate.draw(BATCHES[-2], candidate.seed)
    exact = candidate.run_torch(inputs, torch.float64)
    image = candidate.run(inputs)[0]
    worst, levels = 0.0, 0
    for name, level in LEVELS.items():
        other_image, sample = run_session(candidate.open_session(level), inputs)
        difference = largest_difference(sample, exact)
        step = int(np.abs(other_image.astype(int) - image).max())
        if not difference <= candidate.atol or step > 1:
            raise OptimisationLevelError(
                f"at onnxruntime's optimisation level `{name}` sample differs by {difference:.1e} "
                f"from PyTorch in float64 and image by {step} of 255 levels"
            )
        worst, levels = max(worst, difference), max(levels, step)
    text = f"sample differs by {worst:.1e}, image by {levels} of 255 levels, at {', '.join(LEVELS)}"
    return Finding("optimisation levels", text, {"optimisation-levels": worst})


def check_reference_evaluator(candidate: Candidate) -> Finding:
    """ONNX's reference evaluator, which shares no code with onnxruntime, agrees with PyTorch.

    Raises:
        ReferenceEvaluatorError: it does not.
    """
    inputs = candidate.draw(BATCHES[2], candidate.seed)
    exact = candidate.run_torch(inputs, torch.float64)
    with evaluating(ReferenceEvaluatorError, "the reference evaluator fails"):
        evaluator = ReferenceEvaluator(candidate.model)
        with np.errstate(all="ignore"):  # whatever NumPy would warn of, the comparison tells
            outputs: Any = evaluator.run([contract.OUTPUT_IMAGE, contract.OUTPUT_SAMPLE], inputs)
        image, sample = np.asarray(outputs[0]), np.asarray(outputs[1])
    difference = largest_difference(sample, exact)
    levels = int(np.abs(image.astype(int) - candidate.run(inputs)[0]).max())
    if not difference <= candidate.atol or levels > 1:
        raise ReferenceEvaluatorError(
            f"ONNX's reference evaluator differs by {difference:.1e} from PyTorch in float64 "
            f"and by {levels} of 255 levels from onnxruntime"
        )
    text = f"sample differs by {difference:.1e}, image by {levels} of 255 levels"
    return Finding("reference evaluator", text, {"reference-evaluator": difference})
