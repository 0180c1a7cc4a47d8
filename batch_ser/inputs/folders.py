"""The recordings in folders, chosen by their names.

A folder is listed without recursion, however deep it is, and once, however many links lead to it.
"""

import fnmatch
import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from batch_ser.archives import archive_kind, is_archive
from batch_ser.errors import FileError, Reason
from batch_ser.inputs.files import AUDIO_SUFFIXES, InputFile, input_file
from batch_ser.inputs.names import table_name
from batch_ser.inputs.root import Root


@dataclass(frozen=True)
class Selection:
    """Which files of the inputs are recordings to be scored."""

    include: tuple[str, ...] = ()  # patterns of names or relative paths; empty: known suffixes
    exclude: tuple[str, ...] = ()
    root: str | None = None  # what names in the tables are relative to
    never: tuple[str, ...] = ()  # real paths of the job's own output


@dataclass(frozen=True)
class Wanted:
    """What a glob asks for of the files below its fixed folder."""

    path_matches: Callable[[str], bool] | None = None  # of the path below that folder
    every_suffix: bool = False  # not only those of recordings

    def matches(self, path: str, top: str) -> bool:
        return self.path_matches is None or self.path_matches(os.path.relpath(path, top))


EVERYTHING = Wanted()


@dataclass(frozen=True)
class _Folder:
    """A folder to be listed: its path, its name in the tables, and its path without links."""

    path: str
    name: str
    real: str
    is_link: bool = False


class Folders:
    """Lists folders by a selection, and counts the files that are no recordings by their name."""

    def __init__(self, selection: Selection, *, archives_only: bool = False) -> None:
        self.ignored = 0
        self._archives_only = archives_only
        self._selection = selection
        self._root = Root(selection.root)
        self._listed: set[tuple[int, int]] = set()  # folders, by device and inode

    def folder(self, folder: str, name: str, wanted: Wanted = EVERYTHING) -> Iterator[InputFile]:
        """The recordings below a folder, by name; `name` is the folder's in the tables.

        Links to folders come last, so that what is in the folder itself has its own name.
        """
        top = os.path.abspath(folder)
        links = deque([_Folder(top, name, os.path.realpath(top))])
        while links:
            open_folders = [self._entries(links.popleft(), top, wanted)]
            while open_folders:
                found = next(open_folders[-1], None)
                if found is None:
                    open_folders.pop()
                elif isinstance(found, InputFile):
                    yield found
                elif found.is_link:
                    links.append(found)
                else:
                    open_folders.append(self._entries(found, top, wanted))

    def _entries(self, folder: _Folder, top: str, wanted: Wanted) -> Iterator[InputFile | _Folder]:
        """What is in a folder, by name: inputs, and folders that are still to be listed."""
        if refusal := self._root.refusal(folder.real):
            yield InputFile(f"{folder.name}/", folder.path, error=refusal)
            return
        try:
            if self._was_listed(folder.path):
                return
            entries = sorted(os.scandir(folder.path), key=lambda entry: entry.name)
        except OSError as error:
            yield InputFile(f"{folder.name}/", folder.path, error=_not_listed(error))
            return
        for entry in entries:
            if not entry.name.startswith("."):
                yield from self._entry(entry, folder, top, wanted)

    def _entry(
        self, entry: "os.DirEntry[str]", folder: _Folder, top: str, wanted: Wanted
    ) -> Iterator[InputFile | _Folder]:
        name = os.path.join(folder.name, table_name(entry.name))
        is_link = entry.is_symlink()
        real = os.path.realpath(entry.path) if is_link else os.path.join(folder.real, entry.name)
        if real in self._selection.never:
            return
        if is_link and not os.path.exists(entry.path):  # perhaps to a folder on a missing disk
            if not self.is_excluded(entry.name, name):
                yield input_file(name, entry.path)
        elif entry.is_dir():
            if os.path.splitext(entry.name)[1].lower() in AUDIO_SUFFIXES:
                yield input_file(name, entry.path)  # named like a recording: it gets a row
            yield _Folder(entry.path, name, real, is_link)
        elif wanted.matches(entry.path, top) and self.is_selected(
            entry.name, name, every_suffix=wanted.every_suffix
        ):
            yield input_file(name, entry.path, error=self._root.refusal(real))

    def _was_listed(self, folder: str) -> bool:
        """Whether a folder has been listed under another name; now it is.

        Raises:
            OSError: it cannot be reached.
        """
        found = os.stat(folder)
        key = found.st_dev, found.st_ino
        before = key in self._listed and found.st_ino != 0  # 0: a file system without inodes
        self._listed.add(key)
        return before

    def is_selected(self, base: str, name: str, *, every_suffix: bool = False) -> bool:
        """Whether a file is a recording, or an archive of some, by its name.

        One that is not, and not excluded, counts.
        """
        if self.is_excluded(base, name):
            return False
        if is_archive(base):  # its members are chosen by their names
            return True
        if self._archives_only and archive_kind(base) is None:
            return False
        if self._selection.include:
            selected = any_matches(self._selection.include, base, name)
        else:
            selected = every_suffix or os.path.splitext(base)[1].lower() in AUDIO_SUFFIXES
        self.ignored += not selected
        return selected

    def is_excluded(self, base: str, name: str) -> bool:
        return any_matches(self._selection.exclude, base, name)


def _not_listed(error: OSError) -> FileError:
    reason = Reason.FORBIDDEN if isinstance(error, PermissionError) else Reason.FETCH_FAILED
    return FileError(reason, f"the folder cannot be listed: {error.strerror}")


def any_matches(patterns: tuple[str, ...], base: str, name: str) -> bool:
    """Whether a file's last name, or its whole one, matches any of some globs."""
    return any(fnmatch.fnmatch(base, p) or fnmatch.fnmatch(name, p) for p in patterns)
