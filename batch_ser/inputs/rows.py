"""The rows of a manifest as text by column, whichever of CSV, JSONL and Parquet holds them."""

import csv
import json
import os
import re
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import pyarrow
import pyarrow.parquet

from batch_ser.errors import UsageError
from batch_ser.inputs.names import printable

NOT_UTF8 = re.compile("[\udc80-\udcff]")  # bytes that Python could not decode
SHOWN = 20  # characters before such a byte
CSVLines = Generator[tuple[int, list[str]], None, None]  # line numbers and values


@dataclass(frozen=True)
class Columns:
    """Which columns of a manifest are read."""

    needed: tuple[str, ...]
    known: tuple[str, ...] = ()  # others are reported and left out; empty: all, values unchanged


class Row(NamedTuple):
    """One row: its values by column as text, empty where there is none, or why it is unreadable."""

    number: int
    values: dict[str, str]
    fault: str = ""


def read_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """The rows of a manifest, one after the other; they are counted as `row_word` says.

    Raises:
        UsageError: no such file, another format, or a needed column is missing.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such manifest")
    suffix = next((each for each in READERS if path.name.lower().endswith(each)), None)
    if suffix is None:
        raise UsageError(f"{path}: expected a name ending in one of {', '.join(READERS)}")
    try:
        yield from READERS[suffix](path, columns)
    except OSError as error:
        raise _unreadable(path, error) from error


def row_word(path: Path) -> str:
    """What messages call a row: `line`, with its number in a text editor, or `row`, from 1 on."""
    return "row" if path.suffix.lower() == ".parquet" else "line"


def csv_header(path: Path, columns: Columns) -> list[str]:
    """The names of a CSV manifest's columns, without the spaces around them.

    Raises:
        UsageError: it cannot be read, a needed column is missing, or one is named twice.
    """
    try:
        with closing(_csv_lines(path)) as lines:
            return _csv_header(path, lines, columns)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: the manifest cannot be read: {error.strerror}")


def _csv_rows(path: Path, columns: Columns) -> Iterator[Row]:
    lines = _csv_lines(path)
    names = _csv_header(path, lines, columns)
    for number, values in lines:
        if len(values) != len(names):
            yield Row(number, {}, f"found {len(values)} values, expected {len(names)}")
        elif columns.known:
            yield _row(number, zip(names, values, strict=True), columns)
        else:
            yield Row(number, dict(zip(names, values, strict=True)))


def _csv_lines(path: Path) -> CSVLines:
    """All lines; a byte order mark (Excel's) and blank lines are passed over."""
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.reader(_utf8_lines(path, file), strict=True)
        try:
            yield from ((reader.line_num, values) for values in reader if values)
        except csv.Error as error:
            message = f"{path}: line {reader.line_num}: not a CSV file ({error})"
            raise UsageError(message) from error


def _utf8_lines(path: Path, lines: Iterable[str]) -> Iterator[str]:
    """Lines of a text file, as long as they are UTF-8: read as Latin-1, too, names would be others.

    Raises:
        UsageError: one is not.
    """
    for number, line in enumerate(lines, 1):
        if not line.isascii() and (found := NOT_UTF8.search(line)):
            byte, before = ord(found[0]) - 0xDC00, line[: found.start()][-SHOWN:]
            raise UsageError(
                f"{path}: line {number} is not UTF-8: found the byte 0x{byte:02X} after "
                f"{before!r}; save the manifest as UTF-8 (in Excel, 'CSV UTF-8') and run again"
            )
        yield line


def _csv_header(path: Path, lines: CSVLines, columns: Columns) -> list[str]:
    names = [printable(name.strip()) for name in next(lines, (0, []))[1]]
    _check_header(path, names, columns)
    return names


def _jsonl_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """An object a line; blank lines are passed over."""
    names: dict[str, None] = {}
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                values = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                yield Row(number, {}, f"not JSON ({error})")
                continue
            if not isinstance(values, dict):
                needed = " and ".join(columns.needed)
                yield Row(number, {}, f"not a JSON object, expected one with {needed}")
                continue
            names |= dict.fromkeys(values)
            yield _row(number, values.items(), columns)
    _report_unused(path, list(names), columns)


def _parquet_rows(path: Path, columns: Columns) -> Iterator[Row]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
            _check_header(path, names, columns)
            used = [name for name in columns.known if name in names]
            rows = file.read(columns=used).to_pylist()
    except pyarrow.ArrowException as error:
        raise UsageError(f"{path}: not a Parquet file ({error})") from error
    for number, values in enumerate(rows, 1):
        yield _row(number, values.items(), columns)


READERS: dict[str, Callable[[Path, Columns], Iterator[Row]]] = {
    ".csv": _csv_rows,
    ".jsonl": _jsonl_rows,
    ".parquet": _parquet_rows,
}


def _check_header(path: Path, names: Sequence[str], columns: Columns) -> None:
    missing = [name for name in columns.needed if name not in names]
    if missing:
        found = f"the columns {', '.join(map(printable, names))}" if names else "nothing"
        raise UsageError(f"{path}: found {found}; expected a column named {missing[0]}")
    for name in columns.known or sorted(set(names)):
        if names.count(name) > 1:
            raise UsageError(f"{path}: the column {name} appears twice in the header")
    _report_unused(path, names, columns)


def _report_unused(path: Path, names: Sequence[str], columns: Columns) -> None:
    """A misspelt column must not pass in silence."""
    unused = [printable(name) for name in names if columns.known and name not in columns.known]
    if unused:
        known = ", ".join(columns.known)
        print(f"{path}: not used: {', '.join(unused)} (columns: {known})", file=sys.stderr)


def _row(number: int, values: Iterable[tuple[str, object]], columns: Columns) -> Row:
    """The known columns of a row, without the spaces around their values."""
    texts = dict.fromkeys(columns.needed, "")
    for name, value in values:
        if name in columns.known:
            try:
                texts[name] = _text(value).strip()
            except ValueError as error:
                return Row(number, {}, f"the {name} is {error}, expected text")
    return Row(number, texts)


def _text(value: object) -> str:
    """A cell as CSV would hold it: pandas turns whole numbers beside gaps into floats.

    Raises:
        ValueError: it is neither text nor a number, or no text that can name anything.
    """
    if value is None or value != value:  # NaN, the gap of pandas  # noqa: PLR0124
        return ""
    if isinstance(value, str):
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
