"""Checks that a file's metadata is complete and says what is true of its checkpoint."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from export.checks.candidate import Candidate, Finding
from export.convert import describe, encode_json, exporting_versions
from export.errors import MetadataError
from mnist_sample import contract

FREE_KEYS = (contract.KEY_VERSIONS, contract.KEY_VERIFICATION, contract.KEY_FILE_SHA256)
"""Entries that the checkpoint does not determine."""
SAME_SIZE = 10.0
NEGLIGIBLE = 1e-6
"""A difference this small, 1/7,800 of a grey level, may be zero elsewhere."""
VERSION = re.compile(r"[0-9][0-9A-Za-z.+!_-]{0,63}")
"""What the version of a package looks like; the report prints it, and a stranger may have written it."""


def check_metadata(candidate: Candidate) -> Finding:
    """Every entry of the contract, each once, each equal to what the checkpoint says.

    Raises:
        MetadataError: names the entry.
    """
    found = candidate.metadata
    missing = [key for key in contract.METADATA_KEYS if key not in found]
    if missing or len(candidate.model.metadata_props) != len(contract.METADATA_KEYS):
        raise MetadataError(
            f"the metadata lacks {', '.join(missing)}" if missing else "the metadata has more than its keys"
        )
    for key, value in describe(candidate.checkpoint, candidate.sha256, {}).items():
        if key not in FREE_KEYS and found[key] != value:
            raise MetadataError(f"metadata {key} is {found[key][:80]!r}; the checkpoint says {value[:80]!r}")
    versions = _decode_object(contract.KEY_VERSIONS, found[contract.KEY_VERSIONS])
    if versions.keys() != exporting_versions().keys() or not all(map(_is_version, versions.values())):
        raise MetadataError("metadata versions does not name the packages that exported the file")
    differences = _decode_object(contract.KEY_VERIFICATION, found[contract.KEY_VERIFICATION])
    if not candidate.draft and not differences:
        raise MetadataError("metadata verification names no measured difference")
    if not all(type(value) is float and 0 <= value < math.inf for value in differences.values()):
        raise MetadataError("metadata verification holds something else than numbers")
    return Finding("metadata", f"{len(found)} entries, true to the checkpoint")


def check_differences(candidate: Candidate, measured: Mapping[str, float]) -> Finding:
    """The differences that the file says were measured are such as are measured here.

    Other processors and other versions round otherwise, so the size counts and not the digits.

    Raises:
        MetadataError: names the difference.
    """
    said: dict[str, float] = json.loads(candidate.metadata[contract.KEY_VERIFICATION])
    if said.keys() != measured.keys():
        raise MetadataError(f"metadata verification should name {', '.join(measured)}, and nothing else")
    for name, value in measured.items():
        if abs(said[name] - value) > SAME_SIZE * min(said[name], value) + NEGLIGIBLE:
            raise MetadataError(
                f"metadata verification says {name} {said[name]:.1e}; measured here is {value:.1e}"
            )
    return Finding("recorded differences", f"all {len(said)} of the size that is measured here")


def _is_version(value: object) -> bool:
    return isinstance(value, str) and VERSION.fullmatch(value) is not None


def _decode_object(key: str, text: str) -> dict[str, object]:
    try:
        value = json.loads(text)
        written = encode_json(value)
    except (ValueError, RecursionError) as error:
        raise MetadataError(f"metadata {key} is not JSON that export writes") from error
    if not isinstance(value, dict):
        raise MetadataError(f"metadata {key} is not a JSON object")
    if written != text:  # a name may stand there twice, and readers disagree on which one counts
        raise MetadataError(f"metadata {key} is not written as export writes it")
    return value
