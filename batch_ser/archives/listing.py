"""All recordings of an archive, each with a name of its own and the values beside it.

As in WebDataset, members whose names are the same up to the first dot are one sample: the values of
`a.json` are those of `a.wav`. A listing takes about 400 bytes a recording.
"""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from batch_ser.archives.archive import Archive, Member
from batch_ser.archives.texts import MAX_JSON_BYTES, MAX_NAMES, json_values
from batch_ser.errors import FileError, Reason

JSON = ".json"
ROOTS = re.compile(r"[/\\]|[A-Za-z]:[/\\]")
PARTS = re.compile(r"[/\\]")


class ListedMember(NamedTuple):
    """A recording in an archive; what keeps it from being read is its error."""

    name: str  # below the archive, unlike that of any other
    member: Member
    values: tuple[str | None, ...]  # of the listing's columns, as far as there are any
    error: FileError | None


@dataclass
class Listing:
    """What is in an archive, as far as it can be read."""

    members: list[ListedMember] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    fault: FileError | None = None  # why nothing more can be listed


def list_archive(archive: Archive, is_selected: Callable[[str], bool]) -> Listing:
    """List an archive; `is_selected` decides by a member's name below the archive.

    Raises:
        OSError: it cannot be read.
    """
    listing, samples = Listing(), _Samples()
    names: set[str] = set()
    try:
        for found in archive.entries():
            member = found.member
            refusal = None if archive.takes_every_name else _name_error(member.name)
            name, error = _below(member.name, refusal), refusal or found.error
            if not refusal and _is_hidden(name) and not archive.takes_every_name:
                continue
            if name.lower().endswith(JSON) and not error and member.size_bytes <= MAX_JSON_BYTES:
                with suppress(FileError):  # a damaged one gives no values
                    samples.add(name, json_values(b"".join(archive.read(member))))
            elif not found.is_folder and is_selected(name):
                values = samples.in_order(found.values)
                listing.members.append(ListedMember(_unique(name, names), member, values, error))
    except FileError as error:
        listing.fault = error
    samples.join(listing)
    return listing


class _Samples:
    """Values of samples, by the part of their names that they share."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}  # of columns
        self._values: dict[str, dict[str, str | None]] = {}
        self._texts: dict[str, str] = {}  # one copy of each

    def add(self, name: str, values: Mapping[str, str | None]) -> None:
        """Keep the values of a sample, of which there may be some already."""
        if values:
            self._values.setdefault(_sample(name), {}).update(values)

    def in_order(self, values: Mapping[str, str | None]) -> tuple[str | None, ...]:
        """Values in the order of the columns, of which there may be new ones."""
        if not values:
            return ()
        for name in values:
            if name not in self._numbers and len(self._numbers) < MAX_NAMES:
                self._numbers[name] = len(self._numbers)
        found = (values.get(name) for name in self._numbers)
        return tuple(text and self._texts.setdefault(text, text) for text in found)

    def join(self, listing: Listing) -> None:
        """Give the members of samples their values, and the listing its columns."""
        for at, each in enumerate(listing.members):
            if self._values and (values := self._values.get(_sample(each.name))):
                listing.members[at] = each._replace(values=self.in_order(values))
        listing.columns = tuple(self._numbers)


def _sample(name: str) -> str:
    """What the names of a sample's members share."""
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _unique(name: str, names: set[str]) -> str:
    """A name that no other member has: the second `a.wav` is `a.wav#2`."""
    unique, number = name, 1
    while unique in names:
        number += 1
        unique = f"{name}#{number}"
    names.add(unique)
    return unique


def _below(name: str, refusal: FileError | None) -> str:
    """A member's name without the parts that change nothing: `./a//b.wav` is `a/b.wav`."""
    name = name.replace("\0", "%00")
    parts = name.split("/")
    return name if refusal else "/".join(part for part in parts if part not in ("", "."))


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return any(part.startswith(".") and part != ".." for part in parts)


def _name_error(name: str) -> FileError | None:
    """Why a member's name is none that a file in a folder can have."""
    if ROOTS.match(name):
        return FileError(Reason.OUTSIDE_ROOT, "its name is absolute, expected one in the archive")
    if ".." in PARTS.split(name):
        return FileError(Reason.OUTSIDE_ROOT, "its name leads out of the archive by ..")
    if "\0" in name:
        return FileError(Reason.UNSUPPORTED, "its name has a zero byte")
    return None
