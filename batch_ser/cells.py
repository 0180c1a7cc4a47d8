"""The cells of a table as text: what a CSV file would hold, whatever the format is."""

import json
import os
import re
from decimal import Decimal

import pyarrow as pa

NO_FRACTION = re.compile(r"\.0+(?=$|[Z+-])")
A_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}  # units of durations


def text_of(value: object) -> str:
    """A cell as CSV would hold it: pandas turns whole numbers beside gaps into floats.

    Raises:
        ValueError: it is neither text nor a number, or no text that can name anything.
    """
    if value is None or value != value:  # NaN, the gap of pandas  # noqa: PLR0124
        return ""
    if isinstance(value, str):
        if value.isascii() and "\0" not in value:
            return value
        try:
            os.fsencode(value)
        except UnicodeEncodeError:
            raise ValueError("not valid Unicode") from None
        if "\0" in value:
            raise ValueError("text with a zero byte")
        return value
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(int(value)) if value == value // 1 else str(value)
    raise ValueError(f"of type {type(value).__name__}")


def carried_text(value: object) -> str:
    """A cell of a column that is only carried through: nested ones as JSON.

    Raises:
        ValueError: it is no text, such as bytes.
    """
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, list | dict):
        try:
            return text_of(json.dumps(value, ensure_ascii=False))
        except (TypeError, RecursionError) as error:
            raise ValueError(f"nested, and {error}") from error
    return text_of(value)


def python_values(column: pa.Array) -> list[object]:
    """The values of a column as Python holds them; times as pandas would write them to CSV."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return python_values(column.dictionary_decode())
    if pa.types.is_duration(kind):
        a_second = A_SECOND[kind.unit]
        return [value and _duration(value, a_second) for value in _whole(column)]
    if pa.types.is_temporal(kind):
        texts = column.cast(pa.string()).to_pylist()
        return [text and NO_FRACTION.sub("", text) for text in texts]
    if pa.types.is_floating(kind) and not pa.types.is_float64(kind):
        texts = column.cast(pa.string()).to_pylist()  # 0.3, whose float64 is 0.30000001192092896
        return [None if text is None else float(text) for text in texts]
    return list(column.to_pylist())


def _whole(column: pa.Array) -> list[str | None]:
    return [None if each is None else str(each) for each in column.cast(pa.int64()).to_pylist()]


def _duration(value: str, a_second: int) -> str:
    """A number of units as pandas writes a timedelta: `0 days 00:00:01.500000`."""
    seconds, rest = divmod(int(value), a_second)
    days, seconds = divmod(seconds, 86_400)
    hours, minutes = divmod(seconds // 60, 60)
    fraction = f".{rest * 1_000_000_000 // a_second:09}" if rest else ""
    sign = "+" if days < 0 else ""
    return f"{days} days {sign}{hours:02}:{minutes:02}:{seconds % 60:02}{fraction}"
