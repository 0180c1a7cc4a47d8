"""The files of a manifest that is an input, each looked up where its line says it is."""

import glob
import os
import posixpath
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from batch_ser.addresses import scheme_of
from batch_ser.errors import UsageError
from batch_ser.inputs.existence import found_at
from batch_ser.inputs.files import Line, input_file, remote_file
from batch_ser.inputs.folders import Folders, Selection
from batch_ser.inputs.input_names import InputNames
from batch_ser.inputs.manifest import Manifest
from batch_ser.inputs.names import printable, table_name
from batch_ser.inputs.rows import ending_of
from batch_ser.inputs.source import Listed
from batch_ser.storage import Folder, Remote, is_store, open_folder


def is_manifest(each: str) -> bool:
    """Whether an input is a manifest, by its name."""
    if ending_of(each) is None:
        return False
    return os.path.isfile(each) or (is_store(each) and not glob.has_magic(each))


def local_copy(each: str) -> tuple[Path, Folder | None]:
    """Where an input can be read on this machine, and what keeps the copy of a remote one.

    Raises:
        UsageError: there is none, or it cannot be reached.
    """
    if not is_store(each):
        return Path(each), None
    address, _, name = each.rpartition("/")
    folder = open_folder(address)
    return found_at(each, lambda: folder.local(name)), folder


@dataclass(frozen=True)
class Opening:
    """What the manifests of a job have in common."""

    names: InputNames
    remote: Remote
    selection: Selection
    allow_segments: bool = True


@dataclass(frozen=True)
class ManifestFiles:
    """A manifest that has been checked, as a source of files."""

    given_as: str  # the input, or its place in a folder that is one
    manifest: Manifest
    opening: Opening
    below: str | None = None  # the name of the folder that is the input; None: it is one itself
    copied_by: Folder | None = field(default=None, repr=False)  # keeps the copy of a remote one

    @classmethod
    def check(cls, each: str, opening: Opening, below: str | None = None) -> "ManifestFiles":
        """A manifest, checked; of a remote one a copy.

        Its names start at the root, or at its own folder; where it is in a folder that is an input
        they are `below` the name of its own folder.

        Raises:
            UsageError: it cannot be read, or has faulty lines, all listed with their numbers.
        """
        path, copied_by = local_copy(each)
        names = opening.names
        try:
            manifest = Manifest.check(
                path,
                names.root if below is None else None,
                allow_segments=opening.allow_segments,
                folder=each.rpartition("/")[0] if copied_by else None,
                links=names.root_folder,
                bounded=below is not None,
            )
        except UsageError as error:
            raise UsageError(str(error).replace(str(path), each)) from error
        return cls(each, manifest, opening, below, copied_by)

    @property
    def further_columns(self) -> tuple[str, ...]:
        return self.manifest.further_columns

    @property
    def has_given_segments(self) -> bool:
        return self.manifest.given_lines is not None

    @property
    def has_roles(self) -> bool:
        return self.manifest.has_roles

    @property
    def given_channels(self) -> Set[int]:
        return self.manifest.given_lines.channels if self.manifest.given_lines else frozenset()

    def entries(self) -> Iterator[Listed]:
        """The files of its lines; those at addresses are still to be looked up."""
        folders = Folders(self.opening.selection)
        for location, columns, segments, number, roles in self.manifest.entries():
            name, path = self._name(location.name), location.path
            if self.below is not None and not folders.is_selected(
                os.path.basename(path), name, every_suffix=True
            ):
                continue
            if location.error or not scheme_of(path):
                yield input_file(name, path, columns, location.error, segments, roles)
                continue
            manifest = os.path.abspath(self.manifest.path)
            line = Line(manifest, number) if location.whole else None
            look_up = partial(self.opening.remote.find, location.whole or path)
            yield partial(remote_file, name, path, look_up, columns, segments, line, roles)

    def _name(self, name: str) -> str:
        if self.below is None or scheme_of(name):
            return self.opening.names.of_line(self.given_as, name)
        return posixpath.join(self.below, table_name(name))


def check_once(paths: Sequence[str]) -> None:
    """Refuse a manifest that is given twice, which can only be a mistake.

    Raises:
        UsageError: one is.
    """
    first: dict[str, int] = {}
    for number, each in enumerate(paths):
        before = first.setdefault(os.path.realpath(each), number)
        if before != number:
            also = "" if paths[before] == each else f", also as {paths[before]}"
            raise UsageError(f"--input {each}: this manifest is given twice{also}; give it once")


def check_apart(manifests: Sequence[ManifestFiles]) -> None:
    """Refuse manifests that disagree about a file: it has one row, or its segments.

    Raises:
        UsageError: a file is in two of them, with other values, or with segments.
    """
    if len(manifests) < 2:
        return
    first: dict[str, tuple[str, int]] = {}  # by path: one name below two folders is two files
    for each in manifests:
        name, columns = each.given_as, each.further_columns
        for location, values, segments, _, _ in each.manifest.entries():
            found = hash(tuple(sorted(zip(columns, values, strict=bool(values)))))
            other, same = first.setdefault(location.path, (name, found))
            file = printable(location.path)
            if segments and other != name:
                raise UsageError(
                    f"--input {name}: segments of {file} are in {other} too; put all lines of a "
                    "file into one manifest"
                )
            if same != found:
                raise UsageError(
                    f"--input {name}: {file} is in {other} too, with other values; list it once"
                )
