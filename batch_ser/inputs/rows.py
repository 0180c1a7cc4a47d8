"""The rows of a manifest as text by column, whichever format and layout it has."""

import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from batch_ser.cells import carried_text, text_of
from batch_ser.errors import UsageError
from batch_ser.inputs.csv_rows import csv_names, csv_rows
from batch_ser.inputs.jsonl_rows import jsonl_rows
from batch_ser.inputs.layouts import Layout, layout_of
from batch_ser.inputs.names import printable
from batch_ser.inputs.parquet_rows import parquet_names, parquet_rows
from batch_ser.inputs.raw_rows import MAX_COLUMNS, RawRow

OWN_COLUMNS = ("file", "start_s", "end_s", "channel", "roles")  # others are carried through


@dataclass(frozen=True)
class Columns:
    """Which columns of a manifest are read."""

    needed: tuple[str, ...]
    known: tuple[str, ...] = ()  # others are reported and left out; empty: all are carried through
    times: bool = True  # else a table of audformat is one like any other


class Row(NamedTuple):
    """One row: its values by column as text, empty where there is none, or why it is unreadable."""

    number: int
    values: dict[str, str]
    fault: str = ""


class Format(NamedTuple):
    """How files with an ending are read."""

    rows: Callable[[Path, Collection[str]], Iterator[RawRow]]  # the known columns, or all
    names: Callable[[Path], list[str]] | None = None  # of the header, if there is one


READERS = {
    ".csv": Format(csv_rows, csv_names),
    ".tsv": Format(csv_rows, csv_names),
    ".jsonl": Format(jsonl_rows),
    ".jsonl.gz": Format(jsonl_rows),
    ".parquet": Format(parquet_rows, parquet_names),
}


def ending_of(name: str) -> str | None:
    """The ending by which a name is that of a manifest; None if it is not."""
    return next((each for each in READERS if name.lower().endswith(each)), None)


def row_word(path: Path) -> str:
    """What messages call a row: `line`, with its number in a text editor, or `row`, from 1 on."""
    return "row" if path.suffix.lower() == ".parquet" else "line"


def read_rows(path: Path, columns: Columns) -> Iterator[Row]:
    """The rows of a manifest, one after the other; they are counted as `row_word` says.

    Raises:
        UsageError: no such file, another format, or a needed column is missing.
    """
    form = _format(path)
    try:
        names = form.names and form.names(path)
        layout = layout_of(path, names or _first_names(path, form), times=columns.times)
        if names is not None:
            _check_header(path, layout.names(names), columns)
        yield from _rows(path, form, layout, columns)
    except OSError as error:
        raise _unreadable(path, error) from error


def header(path: Path, columns: Columns) -> list[str]:
    """The names of a manifest's columns; of JSONL those of all lines, which are read.

    Raises:
        UsageError: it cannot be read, a needed column is missing, or one is named twice.
    """
    form = _format(path)
    try:
        names = form.names and form.names(path)
        layout = layout_of(path, names or _first_names(path, form), times=columns.times)
        if names is None:
            found = _all_names(path, form, layout) or list(columns.needed)
        else:
            found = layout.names(names)
    except OSError as error:
        raise _unreadable(path, error) from error
    _check_header(path, found, columns)
    return found


def first_names(path: Path) -> list[str]:
    """The names of the columns as they stand in the file; of JSONL those of its first line.

    Raises:
        UsageError: it cannot be read.
    """
    form = _format(path)
    try:
        return form.names(path) if form.names else list(_first_names(path, form))
    except OSError as error:
        raise _unreadable(path, error) from error


def _format(path: Path) -> Format:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such manifest")
    ending = ending_of(path.name)
    if ending is None:
        raise UsageError(f"{path}: expected a name ending in one of {', '.join(READERS)}")
    return READERS[ending]


def _first_names(path: Path, form: Format) -> Sequence[str]:
    """The keys of the first line that has any."""
    return next((list(row.values) for row in form.rows(path, ()) if row.values), [])


def _all_names(path: Path, form: Format, layout: Layout) -> list[str]:
    names: dict[str, None] = {}
    for raw in form.rows(path, ()):
        for row in layout.rows(raw):
            names |= dict.fromkeys(row.values)
            if len(names) > MAX_COLUMNS:
                raise UsageError(
                    f"{path}: found more than {MAX_COLUMNS:,} names of columns up to line "
                    f"{raw.number}; expected the same in each line"
                )
    return [name for name in names if _is_name(name)]


def _is_name(name: str) -> bool:
    try:
        return bool(text_of(name)) or not name
    except ValueError:
        return False


def _rows(path: Path, form: Format, layout: Layout, columns: Columns) -> Iterator[Row]:
    known = columns.known if layout.is_plain else ()
    names: dict[str, None] = {}
    as_it_is = layout.is_plain and form.rows is csv_rows and not columns.known
    for raw in form.rows(path, known):
        if raw.fault:
            yield Row(raw.number, {}, raw.fault)
        elif as_it_is:
            yield Row(raw.number, raw.values)  # type: ignore[arg-type]  # CSV is text already
        else:
            for row in layout.rows(raw):
                if form.names is None and columns.known:
                    names |= dict.fromkeys(row.values)
                yield Row(row.number, {}, row.fault) if row.fault else _row(row, columns)
    _report_unused(path, list(names), columns)


def _row(row: RawRow, columns: Columns) -> Row:
    """The known columns of a row, without the spaces around their values; or all."""
    texts = dict.fromkeys(columns.needed, "")
    for name, value in row.values.items():
        if columns.known and name not in columns.known:
            continue
        try:
            if columns.known:
                texts[name] = text_of(value).strip()
            else:
                texts[name] = (text_of if name in OWN_COLUMNS else carried_text)(value)
                text_of(name)
        except ValueError as error:
            return Row(row.number, {}, f"the {ascii(name)[1:-1]} is {error}, expected text")
    return Row(row.number, texts)


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


def _unreadable(path: Path, error: OSError) -> UsageError:
    return UsageError(f"{path}: the manifest cannot be read: {error.strerror or error}")
