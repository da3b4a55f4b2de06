"""A strict, bounded reader of protocol buffer messages, for files that nobody vouches for.

It accepts less than protobuf libraries do: a field that the schema does not name, a second value for a
field that holds one, an unfinished number, or too many fields end the reading. What it lets through, every
parser reads the same way. Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_FIELDS: Final = 100_000
"""A generator has some hundred nodes; reading this many fields takes well under a second."""


class MalformedError(ValueError):
    """The bytes are not a message of the schema."""


class Field(NamedTuple):
    """One field of a message.

    Attributes:
        name: key in the decoded dict.
        kind: `int` (two's complement 64 bit), `float` (32 bit), `text`, `bytes` (a memoryview) or `message`.
        many: a list of values, packed or not.
        schema: of a `message`, its fields.
    """

    name: str
    kind: str
    many: bool = False
    schema: Mapping[int, Field] | None = None


Schema = Mapping[int, Field]
Message = dict[str, Any]


class _Reader:
    """Decodes messages and counts their fields."""

    def __init__(self, content: memoryview) -> None:
        self.content = content
        self.fields_left = _MAX_FIELDS

    def varint(self, at: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise MalformedError("a number is cut off")
            byte = self.content[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if value >= 2**64:
                    break
                return value, at
        raise MalformedError("a number is longer than 64 bits")

    def message(self, at: int, end: int, schema: Schema) -> Message:
        decoded: Message = {field.name: [] for field in schema.values() if field.many}
        while at < end:
            self.fields_left -= 1
            if self.fields_left < 0:
                raise MalformedError(f"more than {_MAX_FIELDS} fields")
            tag, at = self.varint(at, end)
            field = schema.get(tag >> 3)
            if field is None:
                raise MalformedError(f"unexpected field {tag >> 3}")
            values, at = self.values(field, tag & 7, at, end)
            if field.many:
                decoded[field.name].extend(values)
            elif field.name in decoded:
                raise MalformedError(f"two values for {field.name}")
            else:
                (decoded[field.name],) = values
        return decoded

    def values(self, field: Field, wire: int, at: int, end: int) -> tuple[list[Any], int]:
        if field.kind == "int" and wire == _VARINT:
            value, at = self.varint(at, end)
            return [_signed(value)], at
        if field.kind == "float" and wire == _FIXED32:
            return [*struct.unpack("<f", self.slice(at, 4, end))], at + 4
        if wire != _BYTES:
            raise MalformedError(f"{field.name} has wire type {wire}")
        length, at = self.varint(at, end)
        content = self.slice(at, length, end)
        stop = at + length
        if field.kind == "message":
            return [self.message(at, stop, field.schema or {})], stop
        if field.kind == "text":
            return [_text(content, field.name)], stop
        if field.kind == "bytes":
            return [content], stop
        if field.kind == "float" or not field.many:
            raise MalformedError(f"{field.name} is not a single number")
        return self.packed(at, stop), stop

    def packed(self, at: int, end: int) -> list[int]:
        numbers = []
        while at < end:
            self.fields_left -= 1
            if self.fields_left < 0:
                raise MalformedError(f"more than {_MAX_FIELDS} fields")
            value, at = self.varint(at, end)
            numbers.append(_signed(value))
        return numbers

    def slice(self, at: int, length: int, end: int) -> memoryview:
        if length > end - at:
            raise MalformedError("the file is cut off, or a length in it is wrong")
        return self.content[at : at + length]


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _text(content: memoryview, name: str) -> str:
    try:
        return str(content, "utf-8")
    except UnicodeDecodeError:
        raise MalformedError(f"{name} is not UTF-8 text") from None


def decode(content: bytes, schema: Schema) -> Message:
    """Decode a message into a dict: field name to value, or to a list of values where there may be many.

    Raises:
        MalformedError: `content` is not a message of this schema.
    """
    return _Reader(memoryview(content)).message(0, len(content), schema)
