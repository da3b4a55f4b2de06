"""The checks that a file must pass, in order; each raises its own error from `export.errors`."""

from __future__ import annotations

from collections.abc import Callable

from export.checks.agreement import (
    check_optimisation_levels,
    check_reference_evaluator,
    check_repeat,
    check_rows_alone,
    check_values,
)
from export.checks.candidate import Candidate, Finding
from export.checks.exact import check_exact
from export.checks.greyscale import check_grey_scale
from export.checks.metadata import check_metadata
from export.checks.structure import (
    check_batch_axis,
    check_batch_statistics,
    check_contract,
    check_external_data,
    check_graph,
    check_lean,
    check_operators,
    check_versions,
)
from export.checks.whole import check_rebuild, check_sampler

CHECKS: tuple[Callable[[Candidate], Finding], ...] = (
    check_batch_statistics,
    check_graph,
    check_versions,
    check_contract,
    check_batch_axis,
    check_external_data,
    check_operators,
    check_metadata,
    check_sampler,  # bounds what a graph may ask for, so it comes before anything runs
    check_values,
    check_exact,
    check_grey_scale,
    check_rows_alone,
    check_repeat,
    check_optimisation_levels,
    check_reference_evaluator,
    check_lean,
    check_rebuild,
)
"""Each assumes that the ones before it held. The very first, reading the checkpoint, is `export.run`'s."""

__all__ = ["CHECKS", "Candidate", "Finding"]
