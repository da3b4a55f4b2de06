"""Checks that a file's metadata is complete and says what is true of its checkpoint."""

from __future__ import annotations

import json
import math

from export.checks.candidate import Candidate, Finding
from export.convert import describe
from export.errors import MetadataError
from mnist_sample import contract

FREE_KEYS = (contract.KEY_VERSIONS, contract.KEY_VERIFICATION, contract.KEY_FILE_SHA256)
"""Entries that the checkpoint does not determine."""


def check_metadata(candidate: Candidate) -> Finding:
    """Every entry of the contract, each once, each equal to what the checkpoint says.

    Raises:
        MetadataError: names the entry.
    """
    entries = [(entry.key, entry.value) for entry in candidate.model.metadata_props]
    found = dict(entries)
    missing = [key for key in contract.METADATA_KEYS if key not in found]
    if missing or len(entries) != len(contract.METADATA_KEYS):
        raise MetadataError(
            f"the metadata lacks {', '.join(missing)}" if missing else "the metadata has more than its keys"
        )
    for key, value in describe(candidate.checkpoint, candidate.sha256, {}).items():
        if key not in FREE_KEYS and found[key] != value:
            raise MetadataError(f"metadata {key} is {found[key][:80]!r}; the checkpoint says {value[:80]!r}")
    versions = _decode_object(contract.KEY_VERSIONS, found[contract.KEY_VERSIONS])
    if not versions or not all(isinstance(value, str) for value in versions.values()):
        raise MetadataError("metadata versions does not name the packages that exported the file")
    differences = _decode_object(contract.KEY_VERIFICATION, found[contract.KEY_VERIFICATION])
    if not candidate.draft and not differences:
        raise MetadataError("metadata verification names no measured difference")
    if not all(isinstance(value, float | int) and math.isfinite(value) for value in differences.values()):
        raise MetadataError("metadata verification holds something else than numbers")
    return Finding("metadata", f"{len(found)} entries, true to the checkpoint")


def _decode_object(key: str, text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise MetadataError(f"metadata {key} is not JSON") from error
    if not isinstance(value, dict):
        raise MetadataError(f"metadata {key} is not a JSON object")
    return value
