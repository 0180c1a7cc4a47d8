"""The recordings in folders and among the matches of globs, chosen by their names."""

import fnmatch
import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from batch_ser.errors import FileError, Reason
from batch_ser.inputs.files import AUDIO_SUFFIXES, InputFile, input_file
from batch_ser.inputs.names import printable


@dataclass(frozen=True)
class Selection:
    """Which files of the inputs are recordings to be scored."""

    include: tuple[str, ...] = ()  # patterns of names or relative paths; empty: known suffixes
    exclude: tuple[str, ...] = ()
    root: str | None = None  # what names in the tables are relative to
    never: tuple[str, ...] = ()  # real paths of the job's own output


class Folders:
    """Lists folders and globs by a selection, and counts the files that are none by their name."""

    def __init__(self, selection: Selection) -> None:
        self.ignored = 0
        self._selection = selection

    def folder(self, folder: str, name: str, above: tuple[str, ...] = ()) -> Iterator[InputFile]:
        """The recordings below a folder, by name; links to folders are followed, but not round.

        `name` is the folder's in the tables, `above` are the real paths of those around it.
        """
        real = os.path.realpath(folder)
        if real in above:
            return
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            reason = Reason.FORBIDDEN if isinstance(error, PermissionError) else Reason.FETCH_FAILED
            message = f"the folder cannot be listed: {error.strerror}"
            yield InputFile(f"{name}/", os.path.abspath(folder), error=FileError(reason, message))
            return
        for entry in entries:
            path = os.path.join(name, printable(entry.name))
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if os.path.join(real, entry.name) not in self._selection.never:
                    yield from self._sub_folder(entry.path, path, (*above, real))
            elif self._is_selected(entry.name, path, os.path.join(real, entry.name)):
                yield input_file(path, os.path.abspath(entry.path))

    def _sub_folder(self, folder: str, name: str, above: tuple[str, ...]) -> Iterator[InputFile]:
        """What is in a sub-folder; one that is named like a recording gets a row of its own."""
        if Path(folder).suffix.lower() in AUDIO_SUFFIXES:
            yield input_file(name, os.path.abspath(folder))
        yield from self.folder(folder, name, above)

    def matches(self, pattern: str, name: str) -> Iterator[InputFile]:
        """The recordings among the matches of a glob; `name` is that of its `fixed_folder`.

        A pattern with a fixed suffix (`*.dat`) selects every match, whatever the suffix.
        """
        suffix = Path(pattern).suffix
        explicit = suffix not in ("", ".*") and not glob.has_magic(suffix)
        root = fixed_folder(pattern)
        for path in sorted(glob.iglob(pattern, recursive=True)):
            below = os.path.join(name, printable(os.path.relpath(path, root)))
            if os.path.isdir(path):
                if "**" not in Path(pattern).parts:  # `**` lists what is inside by itself
                    yield from self.folder(path, below)
            elif self._is_selected(
                os.path.basename(path), below, os.path.realpath(path), explicit=explicit
            ):
                yield input_file(below, os.path.abspath(path))

    def _is_selected(self, base: str, name: str, real: str, *, explicit: bool = False) -> bool:
        include, exclude = self._selection.include, self._selection.exclude
        if real in self._selection.never or _any_matches(exclude, base, name):
            return False
        if include:
            selected = _any_matches(include, base, name)
        else:
            selected = explicit or os.path.splitext(base)[1].lower() in AUDIO_SUFFIXES
        self.ignored += not selected
        return selected


def fixed_folder(pattern: str) -> str:
    """The last folder before a glob's first wildcard."""
    parts = Path(pattern).parts
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return os.path.join(*parts[:fixed]) if fixed else os.curdir


def _any_matches(patterns: tuple[str, ...], base: str, name: str) -> bool:
    return any(fnmatch.fnmatch(base, p) or fnmatch.fnmatch(name, p) for p in patterns)
