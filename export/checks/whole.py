"""Checks of the file as a whole: it is what the checkpoint gives, and the sampler takes it."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

from export.checks.candidate import Candidate, Finding
from export.convert import EXPORTING_PACKAGES, build_graph
from export.errors import RebuildError, SamplerRefusedError
from mnist_sample import contract
from mnist_sample.errors import ModelFileError
from mnist_sample.modelfile import parse_model


def check_rebuild(candidate: Candidate) -> Finding:
    """Building the graph again from the checkpoint gives the same bytes.

    No tolerance hides anything here: a weight that differs in its last bit shows.

    Raises:
        RebuildError: names the first constant that differs, if it is one.
    """
    metadata = {entry.key: entry.value for entry in candidate.model.metadata_props}
    made_by = json.loads(metadata[contract.KEY_VERSIONS])
    for name in EXPORTING_PACKAGES:
        if made_by.get(name) != version(name):
            return Finding(
                "rebuild", f"not compared: made by {name} {made_by.get(name)}, here is {version(name)}"
            )
    opset = next(entry.version for entry in candidate.model.opset_import if not entry.domain)
    rebuilt = build_graph(candidate.checkpoint, candidate.generator, opset).graph
    graph = candidate.model.graph
    if graph.SerializeToString(deterministic=True) != rebuilt.SerializeToString(deterministic=True):
        raise RebuildError("the checkpoint gives another graph than the file's")
    return Finding("rebuild", "the checkpoint gives the same graph again, to the bit")


def check_sampler(candidate: Candidate) -> Finding:
    """`mnist_sample` accepts the file.

    Raises:
        SamplerRefusedError: with what it says.
    """
    try:
        accepted = parse_model(candidate.content, Path("candidate"))
    except ModelFileError as error:
        raise SamplerRefusedError(f"mnist_sample refuses the file: {error}") from error
    cost = f"{accepted.cost.multiplies:,} multiplications per sample"
    return Finding("sampler", f"mnist_sample accepts the file: digest right, {cost}")
