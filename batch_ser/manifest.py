"""CSV manifests: a `file` column, and further columns that travel into the tables."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from batch_ser.errors import FileError, Reason, UsageError

MOST_SHOWN = 10  # faults listed in one message
NO_ADDRESSES = "an address, expected a path: this version reads local files only"
Line = tuple[str, str, tuple[str, ...], FileError | None]


@dataclass(frozen=True)
class Manifest:
    """A manifest whose header and lines have been checked."""

    path: Path
    root: Path  # relative names start here, and no name may leave it
    further_columns: tuple[str, ...]

    @classmethod
    def check(cls, path: Path, root: str | None) -> "Manifest":
        """Read a manifest once, keeping nothing of it but its header.

        Raises:
            UsageError: no `file` column, or faulty lines, all listed with their numbers.
        """
        header = next(_rows(path), None)
        if header is None or "file" not in header[1]:
            found = f"the columns {', '.join(header[1])}" if header else "nothing"
            raise UsageError(f"{path}: found {found}; expected a column named file")
        columns = [printable(name) for name in header[1]]
        repeated = {name for name in columns if columns.count(name) > 1}
        if repeated:
            raise UsageError(f"{path}: the column {sorted(repeated)[0]} stands twice in the header")
        _check_lines(path, columns)
        further = tuple(name for name in columns if name != "file")
        return cls(path, Path(os.path.abspath(root or path.parent)), further)

    def lines(self) -> Iterator[Line]:
        """Each line's name in the tables, path, further values and error, if it has one."""
        rows = _rows(self.path)
        at = next(rows)[1].index("file")
        for _, values in rows:
            name = values[at]
            further = tuple(printable(value) for value in values[:at] + values[at + 1 :])
            if "://" in name:
                yield *_address(name), further, FileError(Reason.UNSUPPORTED, NO_ADDRESSES)
                continue
            path = os.path.abspath(self.root / name)
            inside = os.path.commonpath([path, self.root]) == str(self.root)
            error = None if inside else self._outside(name)
            yield (os.path.relpath(path, self.root) if inside else name), path, further, error

    def _outside(self, name: str) -> FileError:
        return FileError(
            Reason.OUTSIDE_ROOT,
            f"{printable(name)} lies outside {self.root}; --root with a folder above it allows it",
        )


def _address(uri: str) -> tuple[str, str]:
    """A uri's name, twice: without user information and query, which may hold secrets."""
    try:
        parts = urlsplit(uri)
        name = printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
    except ValueError:
        name = f"{printable(uri.partition('://')[0])}://(unreadable)"
    return name, name


def printable(name: str) -> str:
    """A name as valid Unicode: bytes that are not UTF-8 as %XX."""
    raw = os.fsencode(name)
    return raw.decode("utf-8", errors="surrogateescape").translate(
        {code: f"%{code - 0xDC00:02X}" for code in range(0xDC80, 0xDD00)}
    )


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and values; a byte order mark (Excel's) and blank lines are passed over."""
    try:
        with path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.reader(file, strict=True)
            for values in reader:
                if values:
                    yield reader.line_num, values
    except OSError as error:
        raise UsageError(f"{path}: the manifest cannot be read: {error.strerror}") from error
    except csv.Error as error:
        raise UsageError(f"{path}: not a CSV file ({error})") from error


def _check_lines(path: Path, columns: list[str]) -> None:
    """Find every line that cannot be used, and files that are listed with different values."""
    at = columns.index("file")
    faults: list[str] = []
    seen: dict[str, tuple[int, int]] = {}  # name -> line, hash of its values
    rows = _rows(path)
    next(rows)
    for line, values in rows:
        if len(values) != len(columns):
            faults.append(f"line {line}: found {len(values)} values, expected {len(columns)}")
        elif not values[at].strip():
            faults.append(f"line {line}: the file column is empty")
        else:
            name = os.path.normpath(values[at])
            further = hash(tuple(values[:at] + values[at + 1 :]))
            first, same = seen.setdefault(name, (line, further))
            if same != further:
                told = printable(values[at])
                faults.append(f"line {line}: {told} stands in line {first} with other values")
    if faults:
        shown = "\n  ".join(faults[:MOST_SHOWN])
        more = f"\n  and {len(faults) - MOST_SHOWN} more" if len(faults) > MOST_SHOWN else ""
        raise UsageError(f"{path}: mend these lines and run again\n  {shown}{more}")
