"""Reads the description in a file by `torch.save`, a pickle, and refuses what plain files have no use for."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAX_TUPLE_DEPTH = 3
"""A tensor's sizes are a tuple within that of its facts; hashing recurses once for each level."""
_STORAGES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_TABLE = "collections OrderedDict"
_GLOBALS = {
    _TABLE,
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
    *(f"torch {number}Storage" for number in _STORAGES),
}
"""torch allows many more, of which some take any amount of memory, or time, for a few bytes."""
_OPERATIONS = {
    "PROTO", "STOP", "MARK", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE",
    "GLOBAL", "REDUCE", "BUILD", "BINPERSID", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "BINPUT",
    "LONG_BINPUT", "BINGET", "LONG_BINGET",
}  # fmt: skip


class DescriptionError(ValueError):
    """It is damaged, or holds what no file of plain tensors and values does."""


@dataclass(frozen=True)
class _Item:
    """What an operation leaves on the unpickler's stack.

    Attributes:
        kind: as `pickletools` calls it; of a global its name, of what it made `made` and that name.
        depth: how many tuples lie within one another there.
        parts: of a tuple, the kinds of its parts.
    """

    kind: str
    depth: int = 0
    parts: tuple[str, ...] = ()


_MARK = pickletools.markobject.name
_TEXT = pickletools.pyunicode.name
_TUPLE = pickletools.pytuple.name
_LIST = pickletools.pylist.name
_TABLES = (pickletools.pydict.name, f"made {_TABLE}")
_NAMES = (_TEXT, pickletools.pyint.name)
"""What a table's names may be: nobody can make texts hash alike, and of 64-bit integers only few do."""


def check_description(description: bytes) -> None:
    """Follow the pickle's operations, making nothing, and refuse what could keep the unpickler busy.

    A few bytes of a pickle may call for gigabytes, or for hours: by what they call, by tuples that hold one
    another, or by names that all hash alike. So what is called, what tuples hold and what names are is
    bounded to what plain tensors and values take.

    Raises:
        DescriptionError: in a line.
    """
    stack: list[_Item] = []
    memo: dict[object, _Item] = {}
    try:
        for operation, argument, _ in pickletools.genops(description):
            if operation.name not in _OPERATIONS:
                raise DescriptionError("it holds more than plain tensors and values, and was refused")
            if operation.name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif operation.name in ("BINGET", "LONG_BINGET"):
                stack.append(_recall(memo[argument]))
            else:
                taken = _take(stack, operation)
                stack.extend(_leave(operation, argument, taken))
    except DescriptionError:
        raise
    except (ValueError, LookupError) as error:
        raise DescriptionError("it is damaged; copy it anew or train again") from error


def _recall(item: _Item) -> _Item:
    """Refuse a tuple that is met again: thousands of one, thousands of times over, would be hashed each."""
    if item.kind == _TUPLE:
        raise DescriptionError("it holds a tuple more than once; it was not made by training here")
    return item


def _take(stack: list[_Item], operation: pickletools.OpcodeInfo) -> list[_Item]:
    """Take what the operation works on off the stack; what lies above a mark in place of the mark."""
    before = [expected.name for expected in operation.stack_before]
    above: list[_Item] = []
    if _MARK in before:
        while (item := stack.pop()).kind != _MARK:
            above.append(item)
        before = before[: before.index(_MARK)]
    below = [stack.pop() for _ in before]
    return below[::-1] + above[::-1]


def _leave(operation: pickletools.OpcodeInfo, argument: Any, taken: list[_Item]) -> Iterator[_Item]:  # noqa: ANN401
    """Yield what the operation leaves on the stack.

    Raises:
        DescriptionError: it does what no file of plain tensors and values does.
    """
    match operation.name:
        case "LONG1" if abs(argument) >= 2**63:
            raise DescriptionError("it holds an integer of more than 64 bits")
        case "GLOBAL":
            _require(argument in _GLOBALS)
            yield _Item(argument)
            return
        case "REDUCE":
            function, arguments = taken
            _require(function.kind in _GLOBALS and arguments.kind == _TUPLE)
            _require(function.kind != _TABLE or not arguments.parts)
            yield _Item(f"made {function.kind}")
            return
        case "BUILD":
            _require(taken[0].kind == f"made {_TABLE}")
            yield taken[0]
            return
        case "APPEND" | "APPENDS":
            _require(taken[0].kind == _LIST)
        case "SETITEM" | "SETITEMS":
            _require(taken[0].kind in _TABLES and all(name.kind in _NAMES for name in taken[1::2]))
            yield taken[0]
            return
        case "BINPERSID":  # a storage, whose key becomes a table's name
            _require(taken[0].parts[2:3] == (_TEXT,))
    for left in operation.stack_after:
        depth = 0
        if left.name == _TUPLE:
            depth = 1 + max((item.depth for item in taken), default=0)
            _require(depth <= MAX_TUPLE_DEPTH)
        yield _Item(left.name, depth, tuple(item.kind for item in taken) if depth else ())


def _require(plain: bool) -> None:
    if not plain:
        raise DescriptionError("it holds more than plain tensors and values, and was refused")
