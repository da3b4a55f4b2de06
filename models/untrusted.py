"""Loads what `torch.save` wrote from a stranger's bytes, in memory bounded by the file's own size."""

from __future__ import annotations

import io
import math
import pickle
import warnings
import zipfile
from typing import Any

import torch

from models.description import DescriptionError, check_description

MAX_FILE_BYTES = 64 * 2**20
"""A file larger than this is refused unread; a `gen.pt` takes under 2 MB, a `resume.pt` up to 38."""
MAX_PICKLE_BYTES = 2**20
"""Of the part that names tensors and holds plain values: one byte of it can become a hundred in memory."""
MAX_ENTRIES = 10_000
MAX_VALUES = 20_000
MAX_DEPTH = 12
_ZIP_START = b"PK\x03\x04"


class UntrustedFileError(ValueError):
    """The bytes are damaged, or not what a trained model's file may hold."""


def load_plain(content: bytes) -> dict[str, Any]:
    """Return the dict of tensors and plain values in `content`; no code in it is run.

    Raises:
        UntrustedFileError: not a file by `torch.save`, damaged, too large, packed so that it would grow,
            or with anything but tensors and plain values.
    """
    entries = _read_entries(content)
    try:
        with warnings.catch_warnings(action="ignore"):  # torch remarks on what is refused or harmless
            raw = torch.load(_pack(entries), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UntrustedFileError("it holds more than plain tensors and values, and was refused") from error
    except Exception as error:  # a malformed stream can make the unpickler raise anything
        raise UntrustedFileError("it is damaged; copy it anew or train again") from error
    if type(raw) is not dict:
        raise UntrustedFileError("it is not a generator's checkpoint")
    return raw


def _read_entries(content: bytes) -> dict[str, bytes]:
    """Return the archive's entries by name, checked before anything is unpacked.

    `torch.load` also reads an older format, which allocates what a stranger's pickle asks for; so only zip
    archives pass, and only with entries stored as they are.
    """
    if len(content) > MAX_FILE_BYTES:
        raise UntrustedFileError(f"it is larger than {MAX_FILE_BYTES >> 20} MiB")
    if not content.startswith(_ZIP_START):
        raise UntrustedFileError("it was not written by training here, or is damaged from its first byte")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_entries(archive.infolist(), len(content))
            entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    except UntrustedFileError:
        raise
    except Exception as error:  # a malformed directory, or a wrong checksum: zipfile raises many things
        raise UntrustedFileError("it is damaged or cut off; copy it anew or train again") from error
    for name, part in entries.items():
        if _is_description(name):
            try:
                check_description(part)
            except DescriptionError as error:
                raise UntrustedFileError(str(error)) from error
    return entries


def _pack(entries: dict[str, bytes]) -> io.BytesIO:
    """Return a new archive, which holds for torch what Python's zipfile has read.

    In a stranger's they may find other entries than each other: each looks for the directory elsewhere.
    """
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, part in entries.items():
            archive.writestr(name, part)
    packed.seek(0)
    return packed


def _check_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or len(entries) > MAX_ENTRIES or sum(entry.file_size for entry in entries) > size:
        raise UntrustedFileError(
            "it would unpack to more than its own size; it was not made by training here"
        )
    if len({entry.filename.lower() for entry in entries}) < len(entries):
        raise UntrustedFileError("it holds two entries of one name; it was not made by training here")
    descriptions = [entry.file_size for entry in entries if _is_description(entry.filename)]
    if len(descriptions) > 1:
        raise UntrustedFileError("it holds several descriptions; it was not made by training here")
    if sum(descriptions) > MAX_PICKLE_BYTES:
        raise UntrustedFileError(f"its description is larger than {MAX_PICKLE_BYTES >> 20} MiB")


def _is_description(name: str) -> bool:
    return name.lower().endswith(".pkl")  # torch finds it however it is written


def check_json_object(name: str, value: object, max_values: int = MAX_VALUES) -> dict[str, Any]:
    """Return `value` if it is a dict that JSON can hold, of bounded size when written out.

    Shared parts count as often as they are met, since JSON writes them out each time; a value that
    contains itself never ends, and so exceeds the bound too.

    Raises:
        UntrustedFileError: some part is not a JSON value, or there is too much of it.
    """
    if type(value) is not dict:
        raise UntrustedFileError(f"its entry {name} is not a table of names and values")
    left = max_values
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        left -= 1 + (len(part) // 64 if isinstance(part, str) else 0)
        if left < 0 or depth > MAX_DEPTH:
            raise UntrustedFileError(f"its entry {name} holds too much")
        if type(part) is dict:
            waiting.extend((key, MAX_DEPTH) for key in part)
            if not all(type(key) is str for key in part):
                raise UntrustedFileError(f"its entry {name} has a name that is no text")
            waiting.extend((item, depth + 1) for item in part.values())
        elif type(part) in (list, tuple):
            waiting.extend((item, depth + 1) for item in part)  # type: ignore[attr-defined]
        elif not _is_json_scalar(part):
            raise UntrustedFileError(f"its entry {name} holds a value that is no text, number or list")
    return value


def _is_json_scalar(value: object) -> bool:
    if type(value) is int:
        return -(2**63) <= value < 2**63
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) in (bool, str)
