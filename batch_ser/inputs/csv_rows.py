"""CSV manifests: separated by commas, semicolons or tabs, in UTF-8."""

import csv
import re
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from batch_ser.errors import UsageError
from batch_ser.inputs.names import printable
from batch_ser.inputs.raw_rows import RawRow

SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
FILE_COLUMNS = {"file", "file_name", "audio"}  # names by which a header is recognised
NOT_UTF8 = re.compile("[\udc80-\udcff]")  # bytes that Python could not decode
SHOWN = 20  # characters before such a byte
Lines = Generator[tuple[int, list[str]], None, None]  # line numbers and values


def csv_names(path: Path) -> list[str]:
    """The names of the columns, without the spaces around them; none of an empty file.

    Raises:
        UsageError: it is not UTF-8, or not CSV.
    """
    return _separator_and_names(path)[1]


def csv_rows(path: Path, _: Collection[str] = ()) -> Iterator[RawRow]:
    """All lines after the header, with the numbers that a text editor shows.

    Raises:
        UsageError: it is not UTF-8, or not CSV.
    """
    separator, names = _separator_and_names(path)
    lines = _lines(path, separator)
    next(lines, None)
    for number, values in lines:
        if len(values) == len(names):
            yield RawRow(number, dict(zip(names, values, strict=True)))
        else:
            yield RawRow(number, {}, f"found {len(values)} values, expected {len(names)}")


def _separator_and_names(path: Path) -> tuple[str, list[str]]:
    """The separator by which the header has a column of files.

    Raises:
        UsageError: it has one by several separators.
    """
    headers: dict[str, list[str]] = {}
    problem = UsageError(f"{path}: found nothing")
    for separator in SEPARATORS:
        try:
            headers[separator] = _header(path, separator)
        except _NotCSV as error:
            problem = problem if headers else error
    fitting = {each: names for each, names in headers.items() if FILE_COLUMNS.intersection(names)}
    if len({tuple(names) for names in fitting.values()}) > 1:
        found = " and ".join(SEPARATORS[each] for each in fitting)
        raise UsageError(
            f"{path}: the header has a column named file both by {found} between the names; "
            "expected one of them"
        )
    if not headers:
        raise problem
    separator = next(iter(fitting), max(headers, key=lambda each: len(headers[each])))
    return separator, headers[separator]


class _NotCSV(UsageError):
    """The file cannot be CSV with this separator."""


def _header(path: Path, separator: str) -> list[str]:
    with closing(_lines(path, separator)) as lines:
        return [printable(name.strip()) for name in next(lines, (0, []))[1]]


def _lines(path: Path, separator: str) -> Lines:
    """All lines; a byte order mark (Excel's) and blank lines are passed over."""
    with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.reader(_utf8_lines(path, file), strict=True, delimiter=separator)
        last = 0  # line of the row before: one with line breaks in its values has several
        try:
            for values in reader:
                first, last = last + 1, reader.line_num
                if values:
                    yield first, values
        except csv.Error as error:
            message = f"{path}: line {last + 1}: not a CSV file ({error})"
            raise _NotCSV(message) from error


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
