"""Messages of Protocol Buffers, field by field, without their schema.

An ONNX file is one. The package onnx, which would read it, is not needed to score; and what a file
holds is checked here before a runtime gets it.

Source: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

MAX_FIELDS = 200_000  # of all messages of a file; the export of `accurate` has 6,000
MAX_TAG = 2**32 - 1
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5  # how a value is stored; 3 and 4 are groups, of old
VARINT_BYTES = 10
Value = int | memoryview


class Fields:
    """The fields of a file's messages, in their order, of a bounded number in all."""

    def __init__(self) -> None:
        self._left = MAX_FIELDS

    def of(self, message: Value) -> Iterator[tuple[int, Value]]:
        """Number and value of each field: of numbers as stored, of all else the bytes.

        Raises:
            ValueError: no message, one that ends too early, or too many fields.
        """
        if isinstance(message, int):
            raise ValueError("a number where a message was expected")
        position = 0
        while position < len(message):
            self._left -= 1
            if self._left < 0:
                raise ValueError(f"more than {MAX_FIELDS:,} fields")
            tag, position = _varint(message, position)
            if not 8 <= tag <= MAX_TAG:
                raise ValueError(f"no field has the tag {tag}")
            value, position = _value(message, position, tag & 7)
            yield tag >> 3, value


def text_of(value: Value) -> str:
    """A value as text.

    Raises:
        ValueError: it is a number, or no UTF-8.
    """
    if isinstance(value, int):
        raise ValueError("a number where a text was expected")
    return str(value, "utf-8")


def _value(message: memoryview, position: int, kind: int) -> tuple[Value, int]:
    if kind == VARINT:
        return _varint(message, position)
    if kind == LENGTH:
        size, position = _varint(message, position)
    elif kind in (FIXED32, FIXED64):
        size = 4 if kind == FIXED32 else 8
    else:
        raise ValueError(f"a value of the kind {kind}")
    if size > len(message) - position:
        raise ValueError("it ends within a field")
    return message[position : position + size], position + size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number in groups of seven bits, the lowest first, and the position after it."""
    value = 0
    for place, byte in enumerate(message[position : position + VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, position + place + 1
    raise ValueError("it ends within a number")
