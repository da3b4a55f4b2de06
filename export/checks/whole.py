"""Checks of the file as a whole: it is what the checkpoint gives, and the sampler takes it."""

from __future__ import annotations

import json

import onnx

from export.checks.candidate import Candidate, Finding
from export.convert import build_graph, exporting_versions
from export.errors import RebuildError, SamplerRefusedError
from mnist_sample import contract
from mnist_sample.errors import DamagedFileError, ModelFileError
from mnist_sample.text import first_line


def check_rebuild(candidate: Candidate) -> Finding:
    """Building the file again from the checkpoint gives the same bytes, but for the metadata.

    No tolerance hides anything here: a weight that differs in its last bit shows. It takes the versions
    that made the file, and the file itself says which these are: with others, only the values speak for it.

    Raises:
        RebuildError: says whether the graph differs, or what surrounds it.
    """
    metadata = {entry.key: entry.value for entry in candidate.model.metadata_props}
    made_by = json.loads(metadata[contract.KEY_VERSIONS])
    for name, here in exporting_versions().items():
        if made_by.get(name) != here:
            text = f"NOT COMPARED, only values were: the file says {name} {made_by.get(name)}, here is {here}"
            return Finding("rebuild", text, complete=False)
    rebuilt = build_graph(candidate.checkpoint, candidate.generator, candidate.model.opset_import[0].version)
    if without_metadata(candidate.model) != without_metadata(rebuilt):
        what = "another header" if candidate.model.graph == rebuilt.graph else "another graph than the file's"
        raise RebuildError(f"the checkpoint gives {what}; export it again")
    return Finding("rebuild", "the checkpoint gives the same file again, to the bit")


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
