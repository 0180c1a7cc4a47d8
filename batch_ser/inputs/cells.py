"""The cells of a manifest as text: what a CSV file would hold, whatever the format is."""

import json
import os
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

MAX_COLUMNS = 1_000  # of a manifest whose lines name their columns themselves


class RawRow(NamedTuple):
    """One row as its format holds it, or why it is unreadable."""

    number: int
    values: Mapping[str, object]
    fault: str = ""


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
