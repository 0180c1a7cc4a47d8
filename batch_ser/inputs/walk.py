"""All inputs of a job: folders, globs, files and CSV manifests to a lazy stream of files.

Nothing is opened here, only listed. Whatever cannot become a recording (a manifest's line without
a file, a folder that may not be read) is still an input: it carries its error and gets its row.
"""

import glob
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from batch_ser.addresses import scheme_of
from batch_ser.errors import UsageError
from batch_ser.inputs.files import InputFile, input_file
from batch_ser.inputs.folders import Folders, Selection
from batch_ser.inputs.globs import any_match, fixed_folder, matches
from batch_ser.inputs.manifest import Manifest, check_apart, check_once
from batch_ser.inputs.names import table_name
from batch_ser.inputs.root import Root

EXCEL = (".xlsx", ".xls", ".xlsm", ".xlsb", ".ods")


@dataclass
class Walk:
    """The inputs, listed lazily and once; the counters are complete when iteration ends."""

    inputs: tuple[str, ...]
    selection: Selection = field(default_factory=Selection)
    allow_given_segments: bool = True  # else start_s and end_s of a manifest are further columns
    repeated: int = field(init=False, default=0)  # listed again under the same name
    manifest_columns: tuple[str, ...] = field(init=False, default=())
    has_given_segments: bool = field(init=False, default=False)
    given_channels: set[int] = field(init=False, default_factory=set)  # that given segments name

    def __post_init__(self) -> None:
        """Check every input before the first is listed.

        Raises:
            UsageError: an input that does not exist, or a manifest that cannot be used.
        """
        self._folders = Folders(self.selection)
        self._root = Root(self.selection.root)
        listed = [each for each in self.inputs if _is_manifest(each)]
        check_once(listed)
        self._manifests = {
            each: Manifest.check(
                Path(each), self.selection.root, allow_segments=self.allow_given_segments
            )
            for each in listed
        }
        for each in self.inputs:
            if each not in self._manifests:
                _check_exists(each)
                self._name(each)  # inside the root, or refused before anything is written
        self._check_same_columns()
        check_apart(self._manifests)

    def _check_same_columns(self) -> None:
        manifests = self._manifests.values()
        columns = {(each.given_lines is not None, each.further_columns) for each in manifests}
        if len(columns) > 1 or (columns and len(self._manifests) < len(self.inputs)):
            raise UsageError(
                "--input: all inputs of a job must be manifests with the same columns, or none; "
                f"found {len(self._manifests)} manifests in {len(self.inputs)} inputs"
            )
        if columns:
            self.has_given_segments, self.manifest_columns = columns.pop()
        self.given_channels = {
            number for each in manifests if each.given_lines for number in each.given_lines.channels
        }

    @property
    def ignored(self) -> int:
        """Files in folders that are no recordings by their name."""
        return self._folders.ignored

    def check_any(self) -> None:
        """List until the first input is found.

        Raises:
            UsageError: there is none, which can hardly be meant.
        """
        if next(iter(self), None) is not None:
            return
        inputs = ", ".join(self.inputs)
        if self._manifests:
            found = f"{inputs} has a header and no lines; expected a line for each recording"
        else:
            found = (
                f"no recordings found in {inputs}, {self.ignored:,} files were passed over by "
                "their names; expected known audio suffixes (--include '*' takes every file)"
            )
        raise UsageError(f"--input: {found}. --allow-empty makes empty tables")

    def __iter__(self) -> Iterator[InputFile]:
        self._folders, self.repeated = Folders(self.selection), 0
        seen: set[str] = set()
        for each in self.inputs:
            for found in self._list(each):
                if found.file in seen:
                    self.repeated += 1
                else:
                    seen.add(found.file)
                    yield found

    def _list(self, each: str) -> Iterator[InputFile]:
        if each in self._manifests:
            for location, columns, segments in self._manifests[each].entries():
                name = self._manifest_name(each, location.name)
                yield input_file(name, location.path, columns, location.error, segments)
        elif os.path.isdir(each):
            yield from self._folders.folder(each, self._name(each))
        elif glob.has_magic(each) and not os.path.exists(each):
            name = self._name(fixed_folder(each))
            yield from matches(each, name, self._folders, self.selection)
        else:
            yield input_file(self._name(each, os.path.basename(each)), os.path.abspath(each))

    def _manifest_name(self, manifest: str, name: str) -> str:
        """The name of a manifest's line: of several manifests, below its folder as given.

        Two that list an `a.wav` each mean two recordings. `--root` is the root of all of them.
        """
        if scheme_of(name):
            return name
        if len(self.inputs) > 1 and self.selection.root is None:
            folder = os.path.normpath(os.path.dirname(manifest))
            name = os.path.join(folder, name).removeprefix("./")
        return table_name(name)

    def _name(self, path: str, alone: str = "") -> str:
        """An input's name: relative to the root, or as given when there are several inputs."""
        if self.selection.root is not None:
            name = os.path.relpath(path, self.selection.root)
            if name.split(os.sep)[0] == os.pardir:
                raise UsageError(f"--input {path} is outside --root {self.selection.root}")
            if error := self._root.refusal(os.path.realpath(path)):
                raise UsageError(f"--input {path}: {error}")
            return "" if name == os.curdir else table_name(name)
        return table_name(os.path.normpath(path) if len(self.inputs) > 1 else alone)


def _is_manifest(path: str) -> bool:
    return path.lower().endswith(".csv") and os.path.isfile(path)


def _check_exists(path: str) -> None:
    if scheme := scheme_of(path):
        raise UsageError(
            f"--input {scheme}://...: this version reads local files only; "
            "mount or copy the recordings"
        )
    if path.lower().endswith(EXCEL) and os.path.isfile(path):
        raise UsageError(
            f"--input {path}: found a spreadsheet, expected a CSV manifest; save it as CSV (in "
            "Excel, 'CSV UTF-8') and give that"
        )
    if not os.path.lexists(path) and not (glob.has_magic(path) and any_match(path)):
        what = "nothing matches this pattern" if glob.has_magic(path) else "there is no such file"
        raise UsageError(
            f"--input {path}: {what}; expected a folder, a file, a glob or a CSV manifest"
        )
