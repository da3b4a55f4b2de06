"""Checks of the file as a whole: it is what the checkpoint gives, and the sampler takes it."""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray

from export.checks.candidate import Candidate, Finding
from export.convert import annotate, build_graph, describe, exporting_versions
from export.errors import RebuildError, SamplerRefusedError
from mnist_sample import contract
from mnist_sample.errors import DamagedFileError, ModelFileError
from mnist_sample.text import first_line

ROUNDING: Final = 4 * float(np.finfo(np.float32).eps)


def check_rebuild(candidate: Candidate) -> Finding:
    """Building the file again from the checkpoint gives the same bytes, with the same metadata in it.

    No tolerance hides anything here: a weight that differs in its last bit shows. Only where the file says
    that other versions made it, its weights may be rounded otherwise and its header may name them; its graph
    has to be the same.

    Raises:
        RebuildError: says whether the graph differs, or what surrounds it.
    """
    model = candidate.model
    rebuilt = build_graph(candidate.checkpoint, candidate.generator, model.opset_import[0].version)
    if without_metadata(model) == without_metadata(rebuilt):
        ordered = {
            key: candidate.metadata[key] for key in describe(candidate.checkpoint, candidate.sha256, {})
        }
        if candidate.content != annotate(rebuilt, ordered):
            raise RebuildError("the file's bytes are in another order than they are written; export it again")
        return Finding("rebuild", "the checkpoint gives the same file again, to the bit")
    made_by: dict[str, str] = json.loads(candidate.metadata[contract.KEY_VERSIONS])
    other = _find_other_version(made_by)
    if not other:
        what = "another header" if model.graph == rebuilt.graph else "another graph than the file's"
        raise RebuildError(f"the checkpoint gives {what}; export it again")
    if model.producer_version != made_by["mnist-sample"] or not _are_alike(model, rebuilt):
        raise RebuildError(
            f"the checkpoint gives another graph than the file's, which says that {other}; check it with the "
            "versions that it names, or export it again"
        )
    return Finding("rebuild", f"the checkpoint gives the same graph again, weights but for rounding: {other}")


def _find_other_version(made_by: dict[str, str]) -> str:
    """Return which version made the file where another is here; nothing where they are the same."""
    for name, here in exporting_versions().items():
        if made_by.get(name) != here:
            return f"{name} {made_by.get(name)} made it, where {here} is here"
    return ""


def _are_alike(model: onnx.ModelProto, other: onnx.ModelProto) -> bool:
    """Tell whether two models are the same but for versions, metadata and the rounding of their weights."""
    bare: list[onnx.ModelProto] = []
    constants: list[dict[str, NDArray[Any]]] = []
    for one in (model, other):
        constants.append({t.name: onnx.numpy_helper.to_array(t) for t in one.graph.initializer})
        bare.append(onnx.ModelProto.FromString(without_metadata(one)))
        del bare[-1].graph.initializer[:]
        for field in ("ir_version", "producer_version"):
            bare[-1].ClearField(field)
    return (
        bare[0] == bare[1]
        and list(constants[0]) == list(constants[1])
        and all(_are_close(value, constants[1][name]) for name, value in constants[0].items())
    )


def _are_close(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Tell whether two constants are the same; weights, of which there are many, but for a few steps."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype != np.float32 or one.size == 1:
        return np.array_equal(one, other)
    allowed = ROUNDING * np.abs(other).max(initial=0)
    return bool((np.abs(one.astype(np.float64) - other) <= allowed).all())


def without_metadata(model: onnx.ModelProto) -> bytes:
    """Return the bytes of all but the metadata."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.metadata_props[:]
    content: bytes = bare.SerializeToString(deterministic=True)
    return content


def check_sampler(candidate: Candidate) -> Finding:
    """`mnist_sample` accepts the file, which is no larger than what it reads.

    Raises:
        SamplerRefusedError: with what it says.
    """
    if len(candidate.content) > contract.MAX_FILE_BYTES:
        raise SamplerRefusedError(
            f"the file is larger than {contract.MAX_FILE_BYTES >> 20} MiB, the most that mnist_sample reads; "
            "train a smaller generator"
        )
    try:
        accepted = candidate.accepted
    except DamagedFileError as error:
        raise SamplerRefusedError(f"{error}; make it again with `python -m export`") from error
    except ModelFileError as error:
        raise SamplerRefusedError(f"mnist_sample refuses the file: {first_line(error)}") from error
    cost = f"{accepted.cost.multiplies:,} multiplications per sample"
    return Finding("sampler", f"mnist_sample accepts the file: digest right, {cost}")
