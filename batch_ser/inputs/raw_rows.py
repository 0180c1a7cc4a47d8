"""Rows of a manifest as its format holds them."""

from collections.abc import Mapping
from typing import NamedTuple

MAX_COLUMNS = 1_000  # of a manifest whose lines name their columns themselves


class RawRow(NamedTuple):
    """One row as its format holds it, or why it is unreadable."""

    number: int
    values: Mapping[str, object]
    fault: str = ""
