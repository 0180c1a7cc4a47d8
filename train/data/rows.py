"""The lines of a training manifest as text, whichever of CSV, JSONL and Parquet holds them."""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow
import pyarrow.parquet

from batch_ser.errors import UsageError
from batch_ser.inputs import printable

NEEDED = ("file", "label")
COLUMNS = (*NEEDED, "speaker", "sex", "language", "start_s", "end_s", "split")


@dataclass(frozen=True)
class Row:
    """One line; its values by column as text, empty if not given, or why it cannot be read."""

    number: int
    values: dict[str, str]
    fault: str = ""


def read_rows(path: Path) -> tuple[str, list[Row]]:
    """What a manifest's lines are called (`line`, or `row` in Parquet), and the lines.

    A line's number is that of a text editor; Parquet's rows count from 1.

    Raises:
        UsageError: no such file, another format, or no columns `file` and `label`.
    """
    formats = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}
    suffix = path.suffix.lower()
    if not path.is_file():
        raise UsageError(f"{path}: there is no such manifest")
    if suffix not in formats:
        raise UsageError(f"{path}: expected a name ending in one of {', '.join(formats)}")
    try:
        rows = list(formats[suffix](path))
    except OSError as error:
        raise UsageError(f"{path}: the manifest cannot be read: {error.strerror}") from error
    return ("row" if suffix == ".parquet" else "line"), rows


def _csv_rows(path: Path) -> Iterator[Row]:
    """A byte order mark (Excel's) and blank lines are passed over."""
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.reader(file, strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            _check_columns(path, names)
            for values in reader:
                if not values:
                    continue
                if len(values) != len(names):
                    fault = f"found {len(values)} values, expected {len(names)}"
                    yield Row(reader.line_num, {}, fault)
                else:
                    yield _row(reader.line_num, zip(names, values, strict=True))
        except csv.Error as error:
            message = f"{path}: line {reader.line_num}: not a CSV file ({error})"
            raise UsageError(message) from error


def _jsonl_rows(path: Path) -> Iterator[Row]:
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
                yield Row(number, {}, "not a JSON object, expected one with file and label")
                continue
            names |= dict.fromkeys(values)
            yield _row(number, values.items())
    _tell_unused(path, list(names))


def _parquet_rows(path: Path) -> Iterator[Row]:
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names)
            used = [name for name in COLUMNS if name in file.schema_arrow.names]
            rows = file.read(columns=used).to_pylist()
    except pyarrow.ArrowException as error:
        raise UsageError(f"{path}: not a Parquet file ({error})") from error
    for number, values in enumerate(rows, 1):
        yield _row(number, values.items())


def _check_columns(path: Path, names: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in names]
    if missing:
        found = f"the columns {', '.join(map(printable, names))}" if names else "nothing"
        raise UsageError(f"{path}: found {found}; expected a column named {missing[0]}")
    repeated = [name for name in COLUMNS if names.count(name) > 1]
    if repeated:
        raise UsageError(f"{path}: the column {repeated[0]} stands twice in the header")
    _tell_unused(path, names)


def _tell_unused(path: Path, names: Sequence[str]) -> None:
    """A misspelt column must not pass in silence."""
    unused = [printable(name) for name in names if name not in COLUMNS]
    if unused:
        known = ", ".join(COLUMNS)
        print(f"{path}: not used: {', '.join(unused)} (columns: {known})", file=sys.stderr)


def _row(number: int, values: Iterable[tuple[str, object]]) -> Row:
    texts = dict.fromkeys(NEEDED, "")
    for name, value in values:
        if name in COLUMNS:
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
