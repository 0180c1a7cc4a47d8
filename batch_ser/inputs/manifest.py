"""CSV manifests: a `file` column, and further columns that travel into the tables.

One with the columns `start_s` and `end_s` gives segments: a line each, several of a file, each with
values of its own (`asked.py`).
"""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs.given_lines import OWN_COLUMNS, TIMES, AskedLines

MOST_SHOWN = 10  # faults listed in one message
NO_ADDRESSES = "an address, expected a path: this version reads local files only"
ESCAPED = {code: f"%{code - 0xDC00:02X}" for code in range(0xDC80, 0xDD00)}
Place = tuple[str, str, FileError | None]  # name in the tables, path, what stands in its way
Line = tuple[Place, tuple[str, ...], bytes]  # of a file: its further values, or its segments
Fault = tuple[int, str]  # line, what is wrong


@dataclass(frozen=True)
class Manifest:
    """A manifest whose header and lines have been checked."""

    path: Path
    root: Path  # relative names start here, and no name may leave it
    further_columns: tuple[str, ...]
    asked: AskedLines | None  # the segments that it gives

    @classmethod
    def check(cls, path: Path, root: str | None, may_give: bool = True) -> "Manifest":
        """Read a manifest once, keeping nothing of it but its header and the segments it gives.

        Raises:
            UsageError: no `file` column, or faulty lines, all listed with their numbers.
        """
        columns = _header(path)
        if may_give:
            _check_times(path, columns)
        asked = AskedLines(columns) if may_give and set(TIMES) <= set(columns) else None
        further = tuple(name for name in columns if name != "file")
        manifest = cls(
            path, Path(os.path.abspath(root or path.parent)),
            asked.further_columns if asked else further, asked,
        )  # fmt: skip
        faults: list[Fault] = []
        if asked:
            manifest._ask(asked, columns, faults)
        else:
            _check_same(path, columns, faults)
        _refuse(path, sorted(faults))
        return manifest

    def _ask(self, asked: AskedLines, columns: list[str], faults: list[Fault]) -> None:
        """Read the segments of every line."""
        at = columns.index("file")
        names: dict[str, str] = {}  # looking up a path costs more than all the rest
        for line, values in _whole_lines(self.path, columns, faults):
            name = names.get(values[at])
            if name is None:
                name = names[values[at]] = self._place(values[at])[0]
            told = asked.add(name, line, [printable(value) for value in values])
            faults.extend((line, each) for each in told)
        faults.extend(asked.repeated())

    def lines(self) -> Iterator[Line]:
        """Each line's place and further values; of given segments each file's, once."""
        if self.asked:
            for name in self.asked:
                yield self._place(name), (), self.asked.packed(name)
            return
        at = _header(self.path).index("file")
        rows = _rows(self.path)
        next(rows)
        for _, values in rows:
            further = tuple(printable(value) for value in values[:at] + values[at + 1 :])
            yield self._place(values[at]), further, b""

    def _place(self, name: str) -> Place:
        if "://" in name:
            return *_address(name), FileError(Reason.UNSUPPORTED, NO_ADDRESSES)
        path = os.path.abspath(self.root / name)
        inside = os.path.commonpath([path, self.root]) == str(self.root)
        error = None if inside else self._outside(name)
        return (os.path.relpath(path, self.root) if inside else name), path, error

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
    if name.isascii():
        return name
    return os.fsencode(name).decode("utf-8", errors="surrogateescape").translate(ESCAPED)


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


def _header(path: Path) -> list[str]:
    """The names of the columns, without the spaces around them.

    Raises:
        UsageError: none is named file, or one stands twice.
    """
    header = next(_rows(path), (0, []))[1]
    columns = [printable(name.strip()) for name in header]
    if "file" not in columns:
        found = f"the columns {', '.join(columns)}" if header else "nothing"
        raise UsageError(f"{path}: found {found}; expected a column named file")
    repeated = {name for name in columns if columns.count(name) > 1}
    if repeated:
        raise UsageError(f"{path}: the column {sorted(repeated)[0]} stands twice in the header")
    return columns


def _check_times(path: Path, columns: Sequence[str]) -> None:
    """Refuse columns that may be meant to give segments, and would not.

    Raises:
        UsageError: one of the times alone, or a name that differs from ours only by case.
    """
    otherwise = "--segment speech, window or whole takes it as a value like any other"
    times = [name for name in columns if name.lower() in TIMES]
    ours = OWN_COLUMNS if times else ("file",)
    for name in columns:
        if name not in OWN_COLUMNS and name.lower() in ours:
            raise UsageError(
                f"{path}: found the column {name}, expected {name.lower()}; {otherwise}"
            )
    if len(times) == 1:
        missing = TIMES[times[0] == TIMES[0]]
        raise UsageError(
            f"{path}: found the column {times[0]} without {missing}; segments need both; "
            f"{otherwise}"
        )


def _whole_lines(
    path: Path, columns: list[str], faults: list[Fault]
) -> Iterator[tuple[int, list[str]]]:
    """Lines that have all their values and name a file; the others are faults."""
    at = columns.index("file")
    rows = _rows(path)
    next(rows)
    for line, values in rows:
        if len(values) != len(columns):
            faults.append((line, f"found {len(values)} values, expected {len(columns)}"))
        elif not values[at].strip():
            faults.append((line, "the file column is empty"))
        else:
            yield line, values


def _check_same(path: Path, columns: list[str], faults: list[Fault]) -> None:
    """Find files that are listed with different values."""
    at = columns.index("file")
    seen: dict[str, tuple[int, int]] = {}  # name -> line, hash of its values
    for line, values in _whole_lines(path, columns, faults):
        name = os.path.normpath(values[at])
        further = hash(tuple(values[:at] + values[at + 1 :]))
        first, same = seen.setdefault(name, (line, further))
        if same != further:
            told = printable(values[at])
            faults.append((line, f"{told} stands in line {first} with other values"))


def _refuse(path: Path, faults: list[Fault]) -> None:
    if faults:
        shown = "\n  ".join(f"line {line}: {told}" for line, told in faults[:MOST_SHOWN])
        more = f"\n  and {len(faults) - MOST_SHOWN} more" if len(faults) > MOST_SHOWN else ""
        raise UsageError(f"{path}: mend these lines and run again\n  {shown}{more}")


def check_once(paths: Sequence[str]) -> None:
    """Refuse a manifest that is given twice: nobody means that.

    Raises:
        UsageError: one is.
    """
    first: dict[str, int] = {}
    for number, each in enumerate(paths):
        before = first.setdefault(os.path.realpath(each), number)
        if before != number:
            also = "" if paths[before] == each else f", also as {paths[before]}"
            raise UsageError(f"--input {each}: this manifest is given twice{also}; give it once")


def check_apart(manifests: Mapping[str, Manifest]) -> None:
    """Refuse manifests that say different things of one file: it has one row, or its segments.

    Raises:
        UsageError: a file stands in two, with other values, or with segments.
    """
    first: dict[str, tuple[str, int]] = {}  # by path: one name below two folders is two files
    for told, manifest in manifests.items() if len(manifests) > 1 else ():
        for (_, path, _), values, given in manifest.lines():
            other, same = first.setdefault(path, (told, hash(values)))
            if given and other != told:
                raise UsageError(
                    f"--input {told}: segments of {printable(path)} stand in {other} too; "
                    "put all lines of a file into one manifest"
                )
            if same != hash(values):
                raise UsageError(
                    f"--input {told}: {printable(path)} stands in {other} too, with other values; "
                    "list it once"
                )
