"""Systematic defects of an exported file, for the tests and for the table of which check finds which."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from mnist_sample import contract
from mnist_sample.modelfile import seal
from tests.export.mutants import conditions, envelope, interface, nodes, weights
from tests.export.mutants.edits import Mutant

__all__ = ["Mutant", "apply_to_file", "make_mutants"]


def make_mutants(model: onnx.ModelProto) -> Iterator[Mutant]:
    """Yield every mutant of an exported model."""
    for room in (weights, nodes, conditions, interface, envelope):
        yield from room.make_mutants(model)


def apply_to_file(content: bytes, mutant: Mutant) -> bytes:
    """Return the file with the defect, sealed anew as an exporter with this defect would."""
    model = onnx.load_from_string(content)
    mutant.edit(model)
    digests = [entry for entry in model.metadata_props if entry.key == contract.KEY_FILE_SHA256]
    for entry in digests:
        entry.value = contract.DIGEST_PLACEHOLDER
    written: bytes = model.SerializeToString(deterministic=True)
    return seal(written) if len(digests) == 1 else written
