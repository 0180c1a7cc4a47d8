"""Recordings in archives: each archive among the inputs is listed once, before the job begins.

What cannot be listed is not lost: a damaged archive has a row of its own, beside those of the
members that were found before the damage.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from batch_ser.addresses import scheme_of
from batch_ser.archives import BELOW, Listing, OpenArchives, is_table, list_archive, split_member
from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs.files import InputFile, archive_error, input_file, remote_file
from batch_ser.inputs.folders import Folders, Selection, any_matches
from batch_ser.inputs.names import table_name
from batch_ser.storage import Remote, in_order

AT_ONCE = 16  # archives that are listed at a time; most of it is waiting for an object store


NO_MEMBER = FileError(Reason.NOT_FOUND, "the archive has no such member")


class _Listed(NamedTuple):
    archive: InputFile
    listing: Listing
    ignored: int  # members that are no recordings by their names


class ArchiveFiles:
    """The archives of a job, and what is in them."""

    def __init__(self, selection: Selection, remote: Remote) -> None:
        self._selection = selection
        self._archives = OpenArchives(remote)
        self._remote = remote
        self._listed: dict[InputFile, _Listed] = {}
        self._members: dict[str, dict[str, InputFile]] = {}  # of archives that manifests name
        self.whole: set[str] = set()  # names of archives that were listed without a fault
        self.columns: tuple[str, ...] = ()  # of all, by name: whatever is listed first

    def __bool__(self) -> bool:
        return bool(self._listed)

    def add(self, archives: Iterable[InputFile]) -> None:
        """List some archives."""
        calls: Iterator[_Listed | Callable[[], _Listed]] = (
            partial(self._list, each) for each in archives
        )
        for listed in in_order(calls, AT_ONCE):
            self._listed[listed.archive] = listed
            self.columns = tuple(sorted({*self.columns, *listed.listing.columns}))

    def embeds_audio(self, path: str) -> bool:
        """Whether a table holds recordings, and does not only name them as a manifest does."""
        return is_table(path) and self._archives.embeds_audio(path)

    def recordings(
        self, archive: InputFile, columns: tuple[str, ...], folders: Folders
    ) -> Iterator[InputFile]:
        """The recordings in an archive, with values for `columns`; `folders` counts the others.

        An archive that was not there, or was another one, when archives were added is listed now.
        """
        _, listing, ignored = self._listed.get(archive) or self._list(archive)
        folders.ignored += ignored
        at = [listing.columns.index(each) if each in listing.columns else -1 for each in columns]
        for name, member, values, error in listing.members:
            yield replace(
                archive,
                file=f"{archive.file}{BELOW}{table_name(name)}",
                columns=tuple(values[i] if 0 <= i < len(values) else None for i in at),
                error=error,
                member=member,
            )
        if not listing.fault:
            self.whole.add(archive.file)
        else:
            yield replace(archive, error=listing.fault, columns=(None,) * len(columns))

    def of_line(self, file: InputFile) -> InputFile:
        """A file of a manifest whose line may name a member of an archive."""
        path, name = split_member(file.path)
        if not name or not file.error or file.error.reason is not Reason.NOT_FOUND:
            return file
        if path not in self._members:
            self._members[path] = self._all_members(path)
        found = self._members[path].get(table_name(name))
        if found is None:
            return replace(file, error=NO_MEMBER) if self._members[path] else file
        return replace(
            file,
            path=path,
            size_bytes=found.size_bytes,
            modified_us=found.modified_us,
            error=found.error,
            member=found.member,
        )

    def _all_members(self, path: str) -> dict[str, InputFile]:
        """All that is in an archive, by name below it."""
        archive = input_file("", path)
        if scheme_of(path):
            archive = remote_file("", path, partial(self._remote.find, path))
        if archive.error:
            return {}
        listing = self._list(archive, Selection(include=("*",))).listing
        return {
            table_name(name): replace(archive, error=error, member=member)
            for name, member, _, error in listing.members
        }

    def _list(self, archive: InputFile, selection: Selection | None = None) -> _Listed:
        names = _Names(archive.file, selection or self._selection)
        try:
            version = archive.size_bytes, archive.modified_us
            with self._archives.open(archive.path, *version) as opened:
                names.every_suffix = opened.takes_every_name
                listing = list_archive(opened, names.is_selected)
        except FileError as error:
            listing = Listing(fault=error)
        except (OSError, UsageError) as error:
            listing = Listing(fault=archive_error(archive.path, error))
        return _Listed(archive, listing, names.ignored)


class _Names:
    """Which members of an archive are recordings, by their names."""

    every_suffix = False

    def __init__(self, archive: str, selection: Selection) -> None:
        """`archive` is its name in the tables."""
        self._archive, self._include = archive, selection.include
        self._named = any_matches(selection.include, os.path.basename(archive), archive)
        self._by_name = Folders(selection)
        self._by_suffix = Folders(replace(selection, include=()))

    @property
    def ignored(self) -> int:
        return self._by_name.ignored + self._by_suffix.ignored

    def is_selected(self, member: str) -> bool:
        """Whether a member is; `--include` with the name of its archive takes all recordings."""
        base, name = member.rpartition("/")[2], table_name(f"{self._archive}{BELOW}{member}")
        by_suffix = self._named and not any_matches(self._include, base, name)
        names = self._by_suffix if by_suffix else self._by_name
        return names.is_selected(base, name, every_suffix=self.every_suffix)
