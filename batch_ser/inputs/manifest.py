"""Manifests: a `file` column, and further columns that are copied to the tables.

One with the columns `start_s` and `end_s` gives segments: a line each, several of a file, each with
values of its own (`given_segments.py`).
"""

import os
import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from pathlib import Path
from typing import NamedTuple

from batch_ser.addresses import holds_secret, public_address, scheme_of
from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs.files import Line
from batch_ser.inputs.given_segments import TIMES, GivenLines
from batch_ser.inputs.names import printable
from batch_ser.inputs.roles import parse_roles
from batch_ser.inputs.root import Root
from batch_ser.inputs.rows import OWN_COLUMNS, Columns, Row, header, read_rows, row_word
from batch_ser.inputs.whole_addresses import WholeAddresses
from batch_ser.storage import STORES, WEB, is_store, is_web

MAX_SHOWN = 20  # faults listed in one message
NO_ADDRESS = "an address without its scheme, or a path with a query; expected one or the other"
Fault = tuple[int, str]  # line, what is wrong


class Location(NamedTuple):
    """Where a manifest's file is."""

    name: str  # below the root, or a public address
    path: str
    error: FileError | None = None  # why it cannot be used
    whole: str = ""  # the address in the manifest, where the public one leaves something out


class Entry(NamedTuple):
    """One file of a manifest, with its line's further values, or its segments, packed."""

    location: Location
    columns: tuple[str, ...] = ()
    given_segments: bytes = b""
    line: int = 0  # the number of its (first) line
    roles: str = ""


@dataclass(frozen=True)
class Manifest:
    """A manifest whose header and lines have been checked."""

    path: Path
    root: str  # a path or an address: relative names start here, and no name may leave it
    further_columns: tuple[str, ...]
    given_lines: GivenLines | None  # where it has given segments
    links: Root  # of `--root`: no link may leave it
    columns: Columns  # how it is read
    has_roles: bool
    bounded: bool = False  # by `--root`: no address may be outside of it

    @classmethod
    def check(
        cls,
        path: Path,
        root: str | None,
        *,
        allow_segments: bool = True,
        folder: str | None = None,
        links: Root | None = None,
        bounded: bool = False,
    ) -> "Manifest":
        """Read a manifest once, keeping nothing of it but its header and its given segments.

        `folder` is the address of the one that a copy of a remote manifest is from, and `links`
        what no link may leave, where that is not the root. In one that is `bounded`, or has a root,
        no line may name an address outside of where relative names start.

        Raises:
            UsageError: no `file` column, or faulty lines, all listed with their numbers.
        """
        columns = Columns(needed=("file",), times=allow_segments)
        names = header(path, columns)
        if allow_segments:
            _check_times(path, names)
        has_times = allow_segments and set(TIMES) <= set(names)
        given = GivenLines(names, row_word(path)) if has_times else None
        further = tuple(name for name in names if name not in ("file", "roles"))
        manifest = cls(
            path,
            _root_of(root or folder or str(path.parent)),
            given.further_columns if given else further,
            given,
            Root(None if root is None or scheme_of(root) else root) if links is None else links,
            columns,
            "roles" in names,
            bounded=bounded or root is not None,
        )
        _refuse(path, manifest._segment_faults() if given else manifest._value_faults())
        return manifest

    def _segment_faults(self) -> Iterator[Fault]:
        """Read the segment of every line; yield what is wrong."""
        assert self.given_lines
        names: dict[str, str] = {}  # looking up a path costs more than all the rest
        for row in read_rows(self.path, self.columns):
            if fault := _row_fault(row):
                yield row.number, fault
                continue
            file = row.values["file"]
            if file not in names:
                location = self._location(file)
                names[file] = location.name
                if location.whole:
                    self.given_lines.with_query.add(location.name)
            yield from ((row.number, fault) for fault in self.given_lines.add(names[file], row))
        yield from self.given_lines.repeated()

    def _value_faults(self) -> Iterator[Fault]:
        """Read every line; yield what is wrong, such as files listed with different values."""
        word = row_word(self.path)
        seen: dict[str, tuple[int, int]] = {}  # name -> line, hash of its values
        for row in read_rows(self.path, self.columns):
            if fault := _row_fault(row):
                yield row.number, fault
                continue
            name = os.path.normpath(row.values["file"])
            values = row.values
            further = hash(tuple(values.get(each, "") for each in (*self.further_columns, "roles")))
            first, same = seen.setdefault(name, (row.number, further))
            if same != further:
                file = printable(row.values["file"])
                yield row.number, f"{file} is in {word} {first} too, with other values"

    def entries(self) -> Iterator[Entry]:
        """Each line's file and further values; where segments are given, each file once."""
        if self.given_lines:
            whole = WholeAddresses()
            for name in self.given_lines:
                packed, line = self.given_lines.packed(name), self.given_lines.first_line(name)
                location = self._location(name)
                if name in self.given_lines.with_query:
                    location = location._replace(whole=whole.at(Line(str(self.path), line)))
                roles = self.given_lines.roles(name)
                yield Entry(location, given_segments=packed, line=line, roles=roles)
            return
        for row in read_rows(self.path, self.columns):
            values = row.values
            further = tuple(printable(values.get(name, "")) for name in self.further_columns)
            roles = printable(values.get("roles", "").strip())
            yield Entry(self._location(values["file"]), further, line=row.number, roles=roles)

    def _location(self, name: str) -> Location:
        if scheme_of(name):
            return self._address(name)
        if scheme_of(self.root):
            below = posixpath.normpath(name)
            if below.startswith(("/", "../")) or below == "..":
                return self._outside(name, f"{self.root}/{below}")
            return Location(below, f"{self.root}/{below}")
        path = os.path.abspath(os.path.join(self.root, name))
        if holds_secret(name) and not os.path.lexists(path):
            address = printable(public_address(name))
            return Location(address, address, FileError(Reason.UNSUPPORTED, NO_ADDRESS))
        if os.path.commonpath([path, self.root]) == self.root:
            below = os.path.relpath(path, self.root)
            return Location(below, path, self.links.refusal_of_path(path))
        return self._outside(name, path)

    def _address(self, name: str) -> Location:
        """A line with an address; its query, which may be a signature, is in no table."""
        name = name.strip()
        secret = is_web(name) or holds_secret(name)
        public = printable(public_address(name) if secret else name)
        if not is_web(name) and (secret or not is_store(name)):
            expected = ", ".join(f"{each}://" for each in (*STORES, *WEB))
            message = f"an address that cannot be read; expected one of {expected}"
            if is_store(name):
                message = "an address with a query or a user's name; expected SCHEME://BUCKET/KEY"
            return Location(public, public, FileError(Reason.UNSUPPORTED, message))
        if self.bounded and not public.startswith(f"{self.root}/"):
            return self._outside(public, public)
        below = public.removeprefix(f"{self.root}/") if self.bounded else public
        return Location(below, public, whole=name if name != public else "")

    def _outside(self, name: str, path: str) -> Location:
        message = f"{printable(name)} is outside {self.root}; --root with a folder above allows it"
        return Location(name, path, FileError(Reason.OUTSIDE_ROOT, message))


def _root_of(root: str) -> str:
    return root.rstrip("/") if scheme_of(root) else os.path.abspath(root)


def _row_fault(row: Row) -> str:
    """What keeps a line from naming a file with all its values; empty if nothing does."""
    if row.fault:
        return row.fault
    try:
        parse_roles(row.values.get("roles", ""))
    except UsageError as error:
        return f"the roles: {error}"
    return "" if row.values["file"].strip() else "the file column is empty"


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


def _refuse(path: Path, faults: Iterator[Fault]) -> None:
    """Refuse a manifest with faults: the first are listed, and all of them counted."""
    first: list[Fault] = []
    found = 0
    for fault in faults:
        found += 1
        first = nsmallest(MAX_SHOWN, [*first, fault])
    if first:
        word = row_word(path)
        shown = "\n  ".join(f"{word} {line}: {fault}" for line, fault in first)
        more = f"\n  and {found - len(first):,} more" if found > len(first) else ""
        raise UsageError(f"{path}: fix these {word}s and run again\n  {shown}{more}")
