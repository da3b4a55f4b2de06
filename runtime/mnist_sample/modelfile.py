"""Reads a model file, distrusting it: nothing reaches onnxruntime that was not checked here.

A sealed file carries the SHA-256 of itself, so that any damage shows. Against files made to harm, with a
fitting digest, stand the checks of structure and size (`protobuf`, `onnxschema`, `operators`, `graphcheck`).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from mnist_sample import contract
from mnist_sample.errors import DamagedFileError, ModelFileError
from mnist_sample.graphcheck import Cost, check_graph
from mnist_sample.onnxschema import ENVELOPE, GRAPH
from mnist_sample.operators import GraphError
from mnist_sample.protobuf import MalformedError, Message, decode

BUNDLED: Final = Path(__file__).with_name("generator.onnx")
_Json = TypeVar("_Json", list[Any], dict[str, Any])
MAX_CLASS_NAME: Final = 32
_PIECE: Final = 2**20
_MAX_JSON: Final = 2**20
"""Characters of one metadata entry; lists in lists take a hundred times their text in memory."""
_MAX_COMPLAINT: Final = 400
"""Characters: what is wrong with a file may be a name of a million letters."""
_DIGEST_LENGTH: Final = len(contract.DIGEST_PLACEHOLDER)
_DIGEST_ENTRY: Final = (
    bytes([0x0A, len(contract.KEY_FILE_SHA256)])
    + contract.KEY_FILE_SHA256.encode()
    + bytes([0x12, _DIGEST_LENGTH])
)
"""How a metadata entry with this key begins on disk: field 1 is the key, field 2 the value."""
_MIN_OPSET: Final = 13
"""What `operators` knows holds from here on: in 12, axes are attributes."""
_REMEDY: Final = "make it again with `python -m export`, or take the bundled one"


@dataclass(frozen=True)
class ModelFile:
    """A checked model file: its bytes and what it says of itself.

    Attributes:
        path: where it was read.
        content: the bytes that were checked; these, not the path, go to onnxruntime.
        sha256: SHA-256 of the file, in hex.
        architecture: name of the generator's architecture.
        latent_dim: values per latent, 1 to 4096.
        classes: class names by label index; empty for an unconditional model.
        training: how the checkpoint was made.
        checkpoint_sha256: SHA-256 of the checkpoint it was exported from.
        versions: the packages that exported it.
        verification: check name to the difference measured at export.
        evaluation: figure name to its value for generated and for real digits.
        cost: what one sample takes to make.
    """

    path: Path
    content: bytes = field(repr=False)
    sha256: str
    architecture: str
    latent_dim: int
    classes: tuple[str, ...]
    training: dict[str, Any]
    checkpoint_sha256: str
    versions: dict[str, Any]
    verification: dict[str, Any]
    evaluation: dict[str, Any]
    cost: Cost


def _digest_span(content: bytes) -> tuple[int, int]:
    """Return where the digest's hex characters stand.

    Raises:
        ModelFileError: there is no such entry, or more than one.
    """
    at = content.find(_DIGEST_ENTRY)
    if at < 0 or content.find(_DIGEST_ENTRY, at + 1) >= 0:
        raise ModelFileError(f"the file has no single {contract.KEY_FILE_SHA256} entry to hold its digest")
    start = at + len(_DIGEST_ENTRY)
    return start, start + _DIGEST_LENGTH


def _compute_digest(content: bytes, span: tuple[int, int]) -> str:
    digest = hashlib.sha256(memoryview(content)[: span[0]])
    digest.update(contract.DIGEST_PLACEHOLDER.encode())
    digest.update(memoryview(content)[span[1] :])
    return digest.hexdigest()


def seal(content: bytes) -> bytes:
    """Return the model file `content` with its digest filled in.

    Args:
        content: a serialized ONNX model whose metadata has `contract.KEY_FILE_SHA256` with a value of 64
            characters, such as `contract.DIGEST_PLACEHOLDER`.

    Raises:
        ModelFileError: that entry is missing or stands there twice.
    """
    span = _digest_span(content)
    return content[: span[0]] + _compute_digest(content, span).encode() + content[span[1] :]


def _read_bounded(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ModelFileError(f"{path} is a folder, not a model file: name the .onnx file in it")
        with path.open("rb") as file:
            content = bytearray()  # in pieces, so that a small file takes little memory
            while len(content) <= contract.MAX_FILE_BYTES and (piece := file.read(_PIECE)):
                content += piece
    except FileNotFoundError:
        if path == BUNDLED:
            raise ModelFileError("this installation has no bundled model: name one with --model") from None
        raise ModelFileError(f"model file {path} does not exist: check the path") from None
    except OSError as error:
        raise ModelFileError(f"cannot read model file {path}: {error.strerror or error}") from None
    except ValueError:  # a NUL, or what the file system's encoding lacks
        raise ModelFileError(f"no file can be named {str(path)!r}: check the path") from None
    if not content:
        raise ModelFileError(f"model file {path} is empty: {_REMEDY}")
    if len(content) > contract.MAX_FILE_BYTES:
        raise ModelFileError(
            f"model file {path} is larger than {contract.MAX_FILE_BYTES >> 20} MiB, the most that is read"
        )
    return bytes(content)


def _check_identity(content: bytes, metadata: dict[str, str]) -> None:
    version = metadata.get(contract.KEY_CONTRACT)
    if version is None:
        raise ModelFileError("it is an ONNX file, but not one made by `python -m export`")
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise ModelFileError("its contract version is damaged")
    if int(version) > contract.CONTRACT_VERSION:
        raise ModelFileError(
            f"it follows contract {int(version)}, newer than the {contract.CONTRACT_VERSION} this version "
            "reads: upgrade with `pip install --upgrade mnist-sample`"
        )
    if int(version) != contract.CONTRACT_VERSION:
        raise ModelFileError(
            f"it follows contract {int(version)}, which is not read any more: export it again"
        )
    span = _digest_span(content)
    found = content[span[0] : span[1]].decode("latin-1")
    if found != metadata.get(contract.KEY_FILE_SHA256) or found != _compute_digest(content, span):
        raise DamagedFileError("it is damaged: its content does not match its digest")
    missing = [key for key in contract.METADATA_KEYS if key not in metadata]
    if missing:
        raise ModelFileError(f"its metadata lacks {', '.join(missing)}")


def _read_json(metadata: dict[str, str], key: str, kind: type[_Json]) -> _Json:
    if len(metadata[key]) > _MAX_JSON:
        raise ModelFileError(f"its metadata entry {key} is longer than {_MAX_JSON} characters")
    try:
        value = json.loads(metadata[key])
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise ModelFileError(f"its metadata entry {key} is not a JSON {kind.__name__}")
    return value


def _read_classes(metadata: dict[str, str]) -> tuple[str, ...]:
    names = _read_json(metadata, contract.KEY_CLASSES, list)
    fine = all(
        isinstance(name, str)
        and 0 < len(name.strip()) == len(name) <= MAX_CLASS_NAME
        and name.isprintable()
        and "," not in name
        for name in names
    )
    if not fine or len(names) > contract.MAX_CLASSES or len(set(names)) != len(names):
        raise ModelFileError(
            "its class names are not up to 256 different short printable texts without a comma"
        )
    return tuple(names)


def _read_latent_dim(metadata: dict[str, str]) -> int:
    text = metadata[contract.KEY_LATENT_DIM]
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= value <= contract.MAX_LATENT_DIM:
        raise ModelFileError(f"its latent size is not within 1 to {contract.MAX_LATENT_DIM}")
    return value


def _collect_metadata(envelope: Message) -> dict[str, str]:
    metadata: dict[str, str] = {}
    for entry in envelope["metadata"]:
        if entry.get("key", "") in metadata:
            raise ModelFileError(f"its metadata names {entry.get('key', '')!r} twice")
        metadata[entry.get("key", "")] = entry.get("value", "")
    return metadata


def _check_opset(opsets: list[Message]) -> None:
    if any(opset.get("domain", "") not in ("", "ai.onnx") for opset in opsets):
        raise ModelFileError("it needs operators beyond the ONNX standard")
    if len(opsets) != 1 or opsets[0].get("version", 0) < _MIN_OPSET:
        raise ModelFileError(f"it does not name one opset of the ONNX standard, of {_MIN_OPSET} or more")


def parse_model(content: bytes, path: Path) -> ModelFile:
    """Check the bytes of a model file and return what they say.

    Raises:
        ModelFileError: anything is wrong with them; the message does not name `path`.
    """
    try:
        envelope = decode(content, ENVELOPE)
    except MalformedError as error:
        raise DamagedFileError(f"it is no ONNX file, or damaged ({error})") from None
    if "graph" not in envelope or "ir_version" not in envelope:
        raise DamagedFileError("it is no ONNX file, or damaged (no graph)")
    metadata = _collect_metadata(envelope)
    _check_identity(content, metadata)
    if envelope["training"] or envelope["functions"]:
        raise ModelFileError("it holds functions or a training graph, which a generator does not need")
    _check_opset(envelope["opsets"])
    classes, latent_dim = _read_classes(metadata), _read_latent_dim(metadata)
    try:
        graph = decode(bytes(envelope["graph"]), GRAPH)
        cost = check_graph(graph, latent_dim, len(classes))
    except (MalformedError, GraphError) as error:
        raise ModelFileError(f"its graph is not one this version runs: {error}") from None
    return ModelFile(
        path=path,
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        architecture=metadata[contract.KEY_ARCHITECTURE],
        latent_dim=latent_dim,
        classes=classes,
        training=_read_json(metadata, contract.KEY_TRAINING, dict),
        checkpoint_sha256=metadata[contract.KEY_CHECKPOINT_SHA256],
        versions=_read_json(metadata, contract.KEY_VERSIONS, dict),
        verification=_read_json(metadata, contract.KEY_VERIFICATION, dict),
        evaluation=_read_json(metadata, contract.KEY_EVALUATION, dict),
        cost=cost,
    )


def read_model(path: Path | None = None) -> ModelFile:
    """Read and check a model file, the bundled one by default.

    Raises:
        ModelFileError: it is missing, unreadable, too large, damaged, or not a generator that keeps the
            contract (`mnist_sample.contract`).
    """
    path = BUNDLED if path is None else path
    content = _read_bounded(path)
    try:
        return parse_model(content, path)
    except ModelFileError as error:
        remedy = f"; {_REMEDY}" if isinstance(error, DamagedFileError) else ""
        raise ModelFileError(f"cannot use model file {path}: {str(error)[:_MAX_COMPLAINT]}{remedy}") from None
