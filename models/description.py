"""Reads the description in a file by `torch.save`, a pickle, and refuses what plain files have no use for."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import Any, NamedTuple

MAX_TUPLE_DEPTH = 3
"""A tensor's sizes are a tuple within that of its facts; hashing recurses once for each level."""
MAX_DIMENSIONS = 8
MAX_NUMBER = 10_000
"""The largest integer that is a table's name: larger ones can be chosen to meet in the same places."""
_TABLE = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_NUMBERS = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_STORAGES = {f"torch {number}Storage" for number in _NUMBERS}
_GLOBALS = {_TABLE, _TENSOR, _PARAMETER, *_STORAGES}
"""torch allows many more, of which some take any amount of memory, or time, for a few bytes."""
_OPERATIONS = {
    "PROTO", "STOP", "MARK", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3",
    "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE",
    "GLOBAL", "REDUCE", "BUILD", "BINPERSID", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "BINPUT",
    "LONG_BINPUT", "BINGET", "LONG_BINGET",
}  # fmt: skip

_MARK = pickletools.markobject.name
_TEXT = pickletools.pyunicode.name
_INTEGER = pickletools.pyint.name
_TUPLE = pickletools.pytuple.name
_LIST = pickletools.pylist.name
_DICT = pickletools.pydict.name
_BOOL = pickletools.pybool.name
_DIGITS = "text of digits"
_NUMBER = "small integer"
_STORAGE = "storage"
_FILLED = "filled table"
_RECALLED = "recalled"
_NAMES = (_TEXT, _DIGITS, _NUMBER)
"""What a table's names may be: nobody can choose texts that meet in the same places."""


class DescriptionError(ValueError):
    """It is damaged, or holds what no file of plain tensors and values does."""


class _Item(NamedTuple):
    """What an operation leaves on the unpickler's stack.

    Attributes:
        kind: as `pickletools` or this module calls it; of a global, and of what it made, the global's name.
        parts: of a tuple.
        depth: how many tuples lie within one another there.
        made: whether it is what a global was called for.
    """

    kind: str
    parts: tuple[_Item, ...] = ()
    depth: int = 0
    made: bool = False


def check_description(description: bytes) -> None:
    """Follow the pickle's operations, making nothing, and refuse what could keep the unpickler busy.

    A few bytes of a pickle may call for gigabytes, or for hours: by what they call, by what they copy, by
    tuples that hold one another, or by names that meet in the same places of a table. So what is called and
    with what, what tuples hold and what names are is bounded to what plain tensors and values take.

    Raises:
        DescriptionError: in a line.
    """
    stack: list[_Item] = []
    memo: dict[object, _Item] = {}
    try:
        for operation, argument, _ in pickletools.genops(description):
            _require(operation.name in _OPERATIONS)
            if operation.name in ("BINPUT", "LONG_BINPUT"):
                memo[argument] = stack[-1]
            elif operation.name in ("BINGET", "LONG_BINGET"):
                stack.append(_recall(memo[argument]))
            else:
                stack.extend(_leave(operation, argument, _take(stack, operation)))
    except DescriptionError:
        raise
    except (ValueError, LookupError) as error:
        raise DescriptionError("it is damaged; copy it anew or train again") from error


def _require(plain: bool) -> None:
    if not plain:
        raise DescriptionError("it holds more than plain tensors and values, and was refused")


def _recall(item: _Item) -> _Item:
    """Return what is met again: texts and globals as they are, anything that holds others only as a value."""
    if item.kind == _TUPLE:  # thousands of one, thousands of times over, would be hashed each
        raise DescriptionError("it holds a tuple more than once; it was not made by training here")
    plain = item.kind in (_TEXT, _DIGITS) or (item.kind in _GLOBALS and not item.made)
    return item if plain else _Item(_RECALLED)


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
        case "GLOBAL":
            _require(argument in _GLOBALS)
            yield _Item(argument)
        case "REDUCE":
            yield _call(*taken)
        case "BUILD":  # copies the state into the table
            table, state = taken
            _require(_is_table(table) and state.kind == _DICT)
            yield table
        case "BINPERSID":
            kinds = [part.kind for part in taken[0].parts]
            _require(len(kinds) == 5 and kinds[1] in _STORAGES and kinds[2] == _DIGITS)
            yield _Item(_STORAGE)
        case "APPEND" | "APPENDS":
            _require(taken[0].kind == _LIST)
            yield taken[0]
        case "SETITEM" | "SETITEMS":
            table, names = taken[0], taken[1::2]
            _require(table.kind == _DICT or _is_table(table))
            _require(all(name.kind in _NAMES for name in names))
            yield table if table.kind == _DICT else _Item(_FILLED, made=True)
        case "BINUNICODE":
            yield _Item(_DIGITS if argument.isascii() and argument.isdigit() else _TEXT)
        case "BININT" | "BININT1" | "BININT2" | "LONG1":
            if not -(2**63) <= argument < 2**63:
                raise DescriptionError("it holds an integer of more than 64 bits")
            yield _Item(_NUMBER if 0 <= argument <= MAX_NUMBER else _INTEGER)
        case _:
            for left in operation.stack_after:
                yield _pack(taken) if left.name == _TUPLE else _Item(left.name)


def _pack(parts: list[_Item]) -> _Item:
    depth = 1 + max((part.depth for part in parts), default=0)
    _require(depth <= MAX_TUPLE_DEPTH)
    return _Item(_TUPLE, tuple(parts), depth)


def _is_table(item: _Item) -> bool:
    return item.made and item.kind in (_TABLE, _FILLED)


def _call(function: _Item, arguments: _Item) -> _Item:
    """Return what a global makes: an empty table, a tensor or a parameter of a network."""
    _require(arguments.kind == _TUPLE and not function.made)
    parts = arguments.parts
    if function.kind == _TABLE:
        _require(not parts)
    elif function.kind == _TENSOR:
        _require(len(parts) == 6)
        storage, offset, size, stride, requires_grad, hooks = parts
        _require(storage.kind == _STORAGE and _is_integer(offset) and requires_grad.kind == _BOOL)
        _require(all(_is_shape(part) for part in (size, stride)) and _is_empty_table(hooks))
    else:
        _require(function.kind == _PARAMETER and len(parts) == 3)
        tensor, requires_grad, hooks = parts
        _require(tensor.made and tensor.kind == _TENSOR)
        _require(requires_grad.kind == _BOOL and _is_empty_table(hooks))
    return _Item(function.kind, made=True)


def _is_integer(item: _Item) -> bool:
    return item.kind in (_NUMBER, _INTEGER)


def _is_shape(item: _Item) -> bool:
    return item.kind == _TUPLE and len(item.parts) <= MAX_DIMENSIONS and all(map(_is_integer, item.parts))


def _is_empty_table(item: _Item) -> bool:
    return item.made and item.kind == _TABLE
