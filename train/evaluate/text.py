"""The report of an evaluation as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from train.evaluate.cas import CasResult
from train.evaluate.comparison import Figure, distance_quantiles
from train.evaluate.evaluation import Evaluation
from train.evaluate.manifold import NEIGHBOURS
from train.evaluate.measures import MANIFOLD_DIGITS
from train.evaluate.memorisation import NEAR_QUANTILE

PLAIN: Final = frozenset({"Frechet distance", "density"})
"""Figures that are no shares, so that they are not shown in per cent."""


def format_text(evaluation: Evaluation) -> str:
    """Return the report for people: each figure beside the real test digits' own, with standard errors."""
    digits, seeds = evaluation.settings.digits, evaluation.settings.seeds
    draws = "1 draw" if seeds == 1 else f"the mean of {seeds} draws"
    lines = [
        f"generator {evaluation.generator.path}, sha256 {evaluation.generator.sha256}",
        f"classifier sha256 {evaluation.classifier_sha256}",
        f"{digits:,} generated digits ({draws}) beside {digits:,} real test digits, "
        f"of which the classifier reads {evaluation.classifier_accuracy:.2%} right;",
        "each set against the 60,000 training digits, precision to coverage against "
        f"{MANIFOLD_DIGITS:,} of them with k = {NEIGHBOURS}",
        "",
        *_align([("", "generated", "real", "better by"), *map(_format_figure, evaluation.figures)]),
        "",
        "± is the standard error of one draw, or of the mean for CAS; `better by` counts the difference's.",
        f"Near-copies are closer to a training digit than all but {NEAR_QUANTILE:.0%} of the real ones; "
        "copies moved by a pixel pass.",
        "",
        *_align(_format_distances(evaluation)),
    ]
    if evaluation.cas is not None:
        lines += ["", *_format_cas(evaluation.cas)]
    return "\n".join(lines)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table's lines: the first column flush left, the others flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    ]


def _format_figure(figure: Figure) -> tuple[str, ...]:
    plain = figure.name in PLAIN
    ours = format_value(figure.generated, figure.generated_error, plain)
    theirs = format_value(figure.real, figure.real_error, plain)
    return figure.name, ours, theirs, "" if figure.margin is None else f"{figure.margin:+.1f}"


def format_value(value: float, error: float | None, plain: bool) -> str:
    """Return a figure with its standard error, where it has one; a share in per cent unless `plain`."""
    text = f"{value:.4f}" if plain else f"{value:.2%}"
    if error is None:
        return text
    return f"{text} ± {error:.4f}" if plain else f"{text} ± {100 * error:.2f}"


def _format_distances(evaluation: Evaluation) -> list[tuple[str, ...]]:
    """Tell how near digits come to their nearest training digit: the first draw beside the real ones."""
    first, real = evaluation.draws[0], evaluation.real
    distances = {
        "pixels, generated": first.nearest_pixels.distance,
        "pixels, real": real.nearest_pixels.distance,
        "features, generated": first.nearest_features.distance,
        "features, real": real.nearest_features.distance,
    }
    quantiles = {name: distance_quantiles(values) for name, values in distances.items()}
    header = ("quantile of the distance to the nearest training digit", *quantiles["pixels, real"])
    return [header, *((name, *(f"{value:.3f}" for value in row.values())) for name, row in quantiles.items())]


def _format_cas(cas: CasResult) -> list[str]:
    """Tell the accuracy that each seed's classifier reached."""
    title = (
        f"CAS: accuracy on the 10,000 real test digits of a classifier trained for {cas.epochs} epochs on "
        f"{cas.digits:,} digits, by seed"
    )
    kinds = {"real": cas.real, "generated": cas.generated, "generated, new each epoch": cas.fresh}
    rows = [("trained on", *(f"{seed}" for seed in range(len(cas.real))), "mean", "spread")]
    for name, accuracies in kinds.items():
        spread = f"{np.std(accuracies, ddof=1):.2%}" if len(accuracies) > 1 else "unknown"
        rows.append((name, *(f"{one:.2%}" for one in accuracies), f"{np.mean(accuracies):.2%}", spread))
    return [title, *_align(rows)]
