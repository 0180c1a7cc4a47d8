"""CSV for spreadsheets: a cell that a spreadsheet would take for a formula begins with `'`.

All text is quoted: some spreadsheets separate cells at `;`.
"""

import csv
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

# first characters; OWASP, "CSV injection"
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
DIGITS = 6
ENCODING = "utf-8-sig"  # spreadsheets take a file without the mark for another encoding


class SpreadsheetWriter:
    """Writes rows as CSV; numbers stay numbers, null is an empty cell."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self._columns = columns
        self._file = path.open("w", encoding=ENCODING, newline="")
        self._writer = csv.writer(self._file, quoting=csv.QUOTE_NONNUMERIC)
        self._writer.writerow(map(safe_cell, columns))

    def __enter__(self) -> "SpreadsheetWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row, by the names of its columns."""
        self._writer.writerow(safe_cell(row[name]) for name in self._columns)


def safe_cell(value: Any) -> Any:
    """A value that no spreadsheet computes; numbers are rounded to `DIGITS` decimals."""
    if isinstance(value, float):
        return round(value, DIGITS)
    return f"'{value}" if isinstance(value, str) and _is_marked(f"'{value}") else value


def plain_cell(text: str) -> str:
    """The text that `safe_cell` was given."""
    return text[1:] if _is_marked(text) else text


def _is_marked(text: str) -> bool:
    """A name of a file can begin with an apostrophe, too: that gets another one."""
    return text.startswith("'") and text.lstrip("'").startswith(FORMULA)
