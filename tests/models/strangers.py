"""Files that a stranger could pass off as a checkpoint, each wrong in one way."""

from __future__ import annotations

import io
import os
import struct
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

from models.checkpoint import encode
from tests.models.checkpoints import make_checkpoint

Raw = dict[str, Any]

BILLION = 10**9
MORE_THAN_PLAIN = "more than plain tensors and values"
MARKER = "code-was-run"
"""What the file with code in it writes into the current folder when its code runs."""


class _Code:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {MARKER}",)


def good_bytes() -> bytes:
    return encode(make_checkpoint())


def save(raw: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(raw, buffer, **options)
    return buffer.getvalue()


def change(edit: Callable[[Raw], object]) -> bytes:
    """Return a good checkpoint after `edit` of its dict."""
    raw = torch.load(io.BytesIO(good_bytes()), weights_only=True)
    edit(raw)
    return save(raw)


def change_weight(edit: Callable[[torch.Tensor], torch.Tensor], ending: str = "weight") -> bytes:
    """Return a good checkpoint after `edit` of its largest weight (or of one whose name ends so)."""

    def apply(raw: Raw) -> None:
        names = [name for name in raw["weights"] if name.endswith(ending)]
        largest = max(names, key=lambda name: raw["weights"][name].numel())
        raw["weights"][largest] = edit(raw["weights"][largest])

    return change(apply)


def rewrite_archive(edit: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """Return a good checkpoint with every entry passed through `edit`, checksums right."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good_bytes())) as old, zipfile.ZipFile(target, "w", compression) as new:
        for entry in old.infolist():
            new.writestr(entry.filename, edit(entry.filename, old.read(entry)))
    return target.getvalue()


def claim_huge_storage(name: str, content: bytes) -> bytes:
    """Let the description announce 2**31 - 1 elements where the largest weight has fewer."""
    largest = max(tensor.numel() for tensor in make_checkpoint().weights.values())
    announced = b"J" + largest.to_bytes(4, "little")
    if not name.endswith("data.pkl"):
        return content
    assert announced in content
    return content.replace(announced, b"J" + (2**31 - 1).to_bytes(4, "little"))


def flip_bit_in_weights() -> bytes:
    content = bytearray(good_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


def laughs() -> list[Any]:
    """Return a list that is small in memory and 10**30 texts when written out."""
    nested: list[Any] = ["ha"]
    for _ in range(30):
        nested = [nested] * 10
    return nested


def describe(body: bytes) -> bytes:
    """Return a good checkpoint with another description, given by its pickle operations."""
    return rewrite_archive(
        lambda name, content: b"\x80\x02" + body + b"." if name.endswith(".pkl") else content
    )


def text(value: str) -> bytes:
    """Return the operation that puts a text on the stack."""
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def call(module: str, name: str, arguments: bytes) -> bytes:
    """Return the operations that call a function."""
    return f"c{module}\n{name}\n".encode() + b"(" + arguments + b"tR"


def storage(key: bytes) -> bytes:
    """Return the operations that look up a storage by its key."""
    return b"(" + text("storage") + b"ctorch\nFloatStorage\n" + key + text("cpu") + b"K\x01tQ"


EMPTY_TABLE = b"ccollections\nOrderedDict\n)R"


def tensor(size: bytes, hooks: bytes) -> bytes:
    """Return the operations that make a tensor of this size and stride."""
    arguments = storage(text("0")) + b"K\x00" + size + size + b"\x89" + hooks
    return call("torch._utils", "_rebuild_tensor_v2", arguments)


def two_descriptions() -> bytes:
    """Return a good checkpoint with another description beside its own."""
    target = io.BytesIO(good_bytes())
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("archive/more.pkl", b"\x80\x02}.")
    return target.getvalue()


def swell() -> bytes:
    """Return a description whose 25 steps each write a text of twice the length: two billion letters."""
    steps = call("_codecs", "encode", text("a" * 64) + text("latin1")) + b"q\x01"
    for _ in range(25):
        steps += call("_codecs", "encode", b"h\x01" + text("hex")) + b"q\x01"
    return describe(steps)


PUNY = "".join(chr(0x4E00 + number * 7919 % 20000) for number in range(20000))
PAIRS = b"".join(b"K%cK%c\x86" % (number, number) for number in range(256))
"""Pairs of numbers, of which 60,000 could be chosen to hash alike."""


def name_of_pairs(remember: bytes) -> bytes:
    """Return a table whose name is a pair of one pair twice, and so on 60 times: 2**60 steps to hash."""
    pair = remember + b"h\x01\x86"
    return describe(b"}" + b")\x85" + pair * 60 + b"K\x01s")


def _split_archive(archive: bytes) -> tuple[bytes, bytearray]:
    """Return an archive's entries and its directory."""
    size, offset = struct.unpack("<2L", archive[-10:-2])
    return archive[:offset], bytearray(archive[offset : offset + size])


def two_directories() -> bytes:
    """Return an archive in which Python's zipfile finds other entries than torch does.

    zipfile takes the directory that lies before the end record, torch the one at the place recorded there,
    which here describes a table whose name takes for ever to hash.
    """
    entries, directory = _split_archive(name_of_pairs(b"q\x01"))
    shown_entries, shown = _split_archive(describe(b"}"))
    entries += bytes(len(shown_entries))  # zipfile's offsets, relative to the recorded place, stay positive
    at, count = 0, 0
    while at < len(shown):
        (offset,) = struct.unpack_from("<L", shown, at + 42)
        struct.pack_into("<L", shown, at + 42, len(entries) + offset - len(shown_entries))
        at, count = at + 46 + sum(struct.unpack_from("<3H", shown, at + 28)), count + 1
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(directory), len(entries), 0)
    return entries + bytes(directory) + shown_entries + bytes(shown) + end


def in_capitals(beside: bool = False) -> bytes:
    """Return a description that takes for ever, under a name that torch finds all the same.

    Args:
        beside: a harmless one of the usual name stands beside it.
    """
    target = io.BytesIO()
    hidden = zipfile.ZipFile(io.BytesIO(name_of_pairs(b"q\x01")))
    with hidden, zipfile.ZipFile(target, "w") as new:
        for entry in hidden.infolist():
            new.writestr(entry.filename.replace("data.pkl", "DATA.PKL"), hidden.read(entry))
            if beside and entry.filename.endswith("data.pkl"):
                new.writestr(entry.filename, b"\x80\x02}.")
    return target.getvalue()


def endless() -> Raw:
    table: Raw = {}
    table["self"] = table
    return table


def deep() -> Raw:
    table: Raw = {}
    for _ in range(200):
        table = {"deeper": table}
    return table


def huge_view(_: object = None) -> torch.Tensor:
    """Return 10**12 numbers that take four bytes in a file."""
    return torch.zeros(1).expand(10**6, 10**6)


def nest(weight: torch.Tensor) -> torch.Tensor:
    """Return two of its rows as a nested tensor."""
    with warnings.catch_warnings(action="ignore"):  # torch says that these are new
        return torch.nested.as_nested_tensor([weight[0], weight[1]])


def change_attribute(name: str, parameter: bool = False) -> bytes:
    """Return a good checkpoint in which a weight's attribute `name` is the number 5."""

    def edit(weight: torch.Tensor) -> torch.Tensor:
        changed = torch.nn.Parameter(weight) if parameter else weight.clone()
        setattr(changed, name, 5)
        return changed

    return change_weight(edit)


class _Laden:
    """Loads as an OrderedDict with attributes, some of which no such table could be saved with."""

    def __init__(self, table: Raw, attributes: Raw) -> None:
        self.table, self.attributes = table, attributes

    def __reduce__(self) -> tuple[type, tuple[()], Raw, None, Iterator[tuple[str, Any]]]:
        return OrderedDict, (), self.attributes, None, iter(self.table.items())


def hang_on_weights(**attributes: object) -> bytes:
    """Return a good checkpoint whose table of weights has these attributes."""
    return change(lambda raw: raw.update(weights=_Laden(raw["weights"], attributes)))


def _drop_weight(raw: Raw) -> None:
    raw["weights"].popitem()


CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "first byte"),
    "a text": (lambda: b"not a checkpoint\n" * 99, "first byte"),
    "cut in half": (lambda: good_bytes()[: len(good_bytes()) // 2], "cut off"),
    "cut at the end": (lambda: good_bytes()[:-1], "damaged"),
    "a flipped bit in the weights": (flip_bit_in_weights, "damaged"),
    "code": (lambda: change(lambda raw: raw.update(training=_Code())), MORE_THAN_PLAIN),
    "a text that doubles with each step": (swell, MORE_THAN_PLAIN),
    "a text that takes minutes to write otherwise": (
        lambda: describe(call("_codecs", "encode", text(PUNY) + text("punycode"))),
        MORE_THAN_PLAIN,
    ),
    "empty bytes by the gigabyte": (
        lambda: describe(call("builtins", "bytearray", b"\x8a\x05" + (2**34).to_bytes(5, "little"))),
        MORE_THAN_PLAIN,
    ),
    "tuples within tuples for a name": (
        lambda: describe(b"})" + b"\x85" * 400_000 + b"Ns"),
        MORE_THAN_PLAIN,
    ),
    "tuples within tuples for a storage's key": (
        lambda: describe(storage(b")" + b"\x85" * 300_000)),
        MORE_THAN_PLAIN,
    ),
    "a number for a storage's key": (lambda: describe(storage(b"K\x00")), MORE_THAN_PLAIN),
    "pairs for names": (lambda: describe(b"}(" + PAIRS.replace(b"\x86", b"\x86N") + b"u"), MORE_THAN_PLAIN),
    "pairs for names, all at once": (
        lambda: describe(call("collections", "OrderedDict", b"](" + PAIRS + b"e")),
        MORE_THAN_PLAIN,
    ),
    "pairs for names, from a list": (
        lambda: describe(b"ccollections\nOrderedDict\n](](" + PAIRS + b"eeR"),
        MORE_THAN_PLAIN,
    ),
    "a table's content copied a thousand times": (
        lambda: describe(
            b"](ccollections\nOrderedDict\nq\x00}(K\x00NK\x01Nuq\x01" + b"h\x00)Rh\x01b" * 1000 + b"e"
        ),
        MORE_THAN_PLAIN,
    ),
    "pairs for names, as attributes": (
        lambda: describe(b"ccollections\nOrderedDict\n)R](" + PAIRS.replace(b"\x86", b"\x86N\x86") + b"eb"),
        MORE_THAN_PLAIN,
    ),
    "a large number for a name": (lambda: describe(b"}M\x11\x27Ns"), MORE_THAN_PLAIN),
    "a word for a storage's key": (lambda: describe(storage(text("abc"))), MORE_THAN_PLAIN),
    "a list for a tensor's sizes": (
        lambda: describe(tensor(b"](K\x01e", hooks=EMPTY_TABLE)),
        MORE_THAN_PLAIN,
    ),
    "a tensor of many dimensions": (
        lambda: describe(tensor(b"(" + b"K\x01" * 9 + b"t", hooks=EMPTY_TABLE)),
        MORE_THAN_PLAIN,
    ),
    "a number for a tensor's hooks": (
        lambda: describe(tensor(b"K\x01\x85", hooks=b"K\x05")),
        MORE_THAN_PLAIN,
    ),
    "two descriptions": (two_descriptions, "several descriptions"),
    "an attribute of a number": (lambda: describe(b"K\x01}b"), MORE_THAN_PLAIN),
    "an entry of a number": (lambda: describe(b"K\x01" + text("x") + b"Ns"), MORE_THAN_PLAIN),
    "more taken than there is": (lambda: describe(b"s"), "damaged"),
    "a part that was never remembered": (lambda: describe(b"h\x07"), "damaged"),
    "an older format of torch.save": (
        lambda: save({}, _use_new_zipfile_serialization=False),
        "first byte",
    ),
    "an older format before a good archive": (
        lambda: save({}, _use_new_zipfile_serialization=False) + good_bytes(),
        "first byte",
    ),
    "a zip bomb": (
        lambda: rewrite_archive(
            lambda name, content: bytes(256 * 2**20) if name.endswith("/0") else content, zipfile.ZIP_DEFLATED
        ),
        "more than its own size",
    ),
    "a huge description": (
        lambda: rewrite_archive(
            lambda name, content: content + b"}" * 2**21 if name.endswith(".pkl") else content
        ),
        "description is larger",
    ),
    "a storage larger than its bytes": (lambda: rewrite_archive(claim_huge_storage), "damaged"),
    "a name that takes for ever to hash": (lambda: name_of_pairs(b"q\x01"), "a tuple more than once"),
    "a name that takes for ever, remembered twice": (
        lambda: name_of_pairs(b"\x80\x02q\x02r\x01\x00\x00\x00"),
        "a tuple more than once",
    ),
    "a directory that only torch reads": (two_directories, "its format"),
    "a description in capitals": (in_capitals, "a tuple more than once"),
    "an entry twice, but for capitals": (
        lambda: in_capitals(beside=True),
        "two entries of one name",
    ),
    "an integer of a thousand bits": (
        lambda: describe(b"}\x8a\x80" + b"\x7f" * 128 + b"K\x01s"),
        "more than 64 bits",
    ),
    "a description that stops within a text": (lambda: describe(b"X\xff\xff\xff\x7fx"), "damaged"),
    "a description that torch remarks on": (lambda: describe(b"\x80\x04}"), "its format"),
    "a nested weight": (
        lambda: change_weight(nest),
        MORE_THAN_PLAIN,
    ),
    "a class name with a comma": (
        lambda: change(lambda raw: raw["class_names"].__setitem__(0, "a,b")),
        "without a comma",
    ),
    "a tensor alone": (lambda: save(torch.zeros(3)), "not a generator's checkpoint"),
    "no format": (lambda: change(lambda raw: raw.pop("format")), "format"),
    "a format to come": (lambda: change(lambda raw: raw.update(format=2)), "its format 2 is unknown"),
    "a format that is true": (lambda: change(lambda raw: raw.update(format=True)), "format of type bool"),
    "an endless format": (lambda: change(lambda raw: raw.update(format=10**100)), "more than 64 bits"),
    "an entry missing": (lambda: change(lambda raw: raw.pop("training")), "entries"),
    "an entry too many": (lambda: change(lambda raw: raw.update(more=1)), "entries"),
    "an unknown architecture": (
        lambda: change(lambda raw: raw.update(architecture="resnet\x1b[2J")),
        r"'resnet\x1b[2J' is unknown; this version knows digits, tutorial",
    ),
    "an architecture of the wrong type": (
        lambda: change(lambda raw: raw.update(architecture=["digits"])),
        "architecture of type list",
    ),
    "a billion channels": (
        lambda: change(lambda raw: raw["config"].update(dict.fromkeys(raw["config"], BILLION))),
        "must be an integer",
    ),
    "more channels than the file has weights": (
        lambda: change(lambda raw: raw["config"].update(latent_dim=4096)),
        "should be torch.float32",
    ),
    "a text for a size": (
        lambda: change(lambda raw: raw["config"].update(latent_dim="64")),
        "latent_dim is '64'",
    ),
    "true for a size": (
        lambda: change(lambda raw: raw["config"].update(latent_dim=True)),
        "latent_dim is True",
    ),
    "a fraction for a size": (lambda: change(lambda raw: raw["config"].update(latent_dim=1.5)), "is 1.5"),
    "a tensor for a size": (
        lambda: change(lambda raw: raw["config"].update(latent_dim=torch.tensor(64))),
        "config holds a value",
    ),
    "an unknown size": (
        lambda: change(lambda raw: raw["config"].update(depth=3)),
        "configuration is not one",
    ),
    "a size missing": (lambda: change(lambda raw: raw["config"].pop("latent_dim")), "should name latent_dim"),
    "a configuration that is a list": (lambda: change(lambda raw: raw.update(config=[64])), "config is not"),
    "too few class names": (lambda: change(lambda raw: raw["class_names"].pop()), "name 10 classes"),
    "a class name twice": (
        lambda: change(lambda raw: raw["class_names"].__setitem__(0, "1")),
        "two classes the same name",
    ),
    "a class name with control characters": (
        lambda: change(lambda raw: raw["class_names"].__setitem__(0, "\x1b[2J")),
        "printable",
    ),
    "class names that multiply when written": (
        lambda: change(lambda raw: raw["class_names"].__setitem__(0, laughs())),
        "printable",
    ),
    "class names that are a huge tensor": (
        lambda: change(lambda raw: raw.update(class_names=huge_view())),
        "name 10 classes",
    ),
    "training that is a text": (lambda: change(lambda raw: raw.update(training="long")), "training is not"),
    "training with a tensor": (
        lambda: change(lambda raw: raw["training"].update(loss=torch.zeros(1))),
        "training holds a value",
    ),
    "training with NaN": (
        lambda: change(lambda raw: raw["training"].update(loss=float("nan"))),
        "training holds a value",
    ),
    "training with a number as a name": (
        lambda: change(lambda raw: raw["training"].update({3: 4})),
        "training has a name that is no text",
    ),
    "training that contains itself": (lambda: change(lambda raw: raw.update(training=endless())), "too much"),
    "training that multiplies when written": (
        lambda: change(lambda raw: raw["training"].update(laughs=laughs())),
        "too much",
    ),
    "training too deep": (lambda: change(lambda raw: raw.update(training=deep())), "too much"),
    "evaluation that is a list": (lambda: change(lambda raw: raw.update(evaluation=[])), "evaluation is not"),
    "weights that are a list": (lambda: change(lambda raw: raw.update(weights=[])), "weights are not"),
    "a weight missing": (lambda: change(_drop_weight), "weights are not those"),
    "a weight too many": (
        lambda: change(lambda raw: raw["weights"].update(more=torch.zeros(1))),
        "weights are not those",
    ),
    "a weight that is a number": (
        lambda: change(lambda raw: raw["weights"].update(dict.fromkeys(raw["weights"], 0.5))),
        "is not a tensor",
    ),
    "half precision": (lambda: change_weight(lambda weight: weight.half()), "should be torch.float32"),
    "a weight transposed": (
        lambda: change_weight(lambda weight: weight.mT.contiguous()),
        "should be torch.float32",
    ),
    "a weight without elements of its own": (lambda: change_weight(huge_view), "should be torch.float32"),
    "all weights in one element": (
        lambda: change(
            lambda raw: raw["weights"].update(
                {
                    name: weight.flatten()[:1].clone()[0].expand(weight.shape)
                    for name, weight in raw["weights"].items()
                }
            )
        ),
        "bytes of weights",
    ),
    "a sparse weight": (lambda: change_weight(lambda weight: weight.to_sparse()), MORE_THAN_PLAIN),
    "a weight without storage": (
        lambda: change_weight(lambda weight: weight.to("meta")),
        MORE_THAN_PLAIN,
    ),
    "a weight that answers for itself": (lambda: change_attribute("isfinite"), MORE_THAN_PLAIN),
    "a parameter that counts itself": (
        lambda: change_attribute("numel", parameter=True),
        MORE_THAN_PLAIN,
    ),
    "a weight that is NaN": (lambda: change_weight(lambda weight: weight * float("nan")), "not finite"),
    "a weight that is infinite": (lambda: change_weight(lambda weight: weight / 0), "not finite"),
    "a negative variance": (
        lambda: change_weight(lambda weight: -weight, "running_var"),
        "negative variances",
    ),
}
"""Name -> what makes the bytes, and words that the one-line message must have."""


def write_cases(folder: Path) -> dict[str, Path]:
    """Write every case into `folder`; return name -> path."""
    paths = {name: folder / f"{number:02}.pt" for number, name in enumerate(CASES)}
    for name, (build, _) in CASES.items():
        paths[name].write_bytes(build())
    return paths
