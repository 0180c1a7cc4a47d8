"""All inputs of a job: folders, globs, files and CSV manifests to a lazy stream of files.

Nothing is opened here, only listed. Whatever cannot become a recording (a manifest's line without
a file, a folder that may not be read) is still an input: it carries its error and gets its row.
"""

import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from batch_ser.addresses import public_address, scheme_of
from batch_ser.errors import UsageError
from batch_ser.inputs.files import InputFile, Line, input_file, remote_file
from batch_ser.inputs.folders import Folders, Selection
from batch_ser.inputs.globs import any_match, fixed_folder, matches
from batch_ser.inputs.manifest import Manifest, check_apart, check_once
from batch_ser.inputs.names import table_name
from batch_ser.inputs.objects import Objects, fixed_address
from batch_ser.inputs.root import Root
from batch_ser.storage import (
    Folder,
    Remote,
    StorageError,
    in_order,
    is_store,
    is_web,
    open_folder,
    split_address,
)

NO_FILE = "there is no such file"
LOOK_UPS = 32  # addresses of a manifest at a time
T = TypeVar("T")
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

    _copies: list[Folder] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Check every input before the first is listed.

        Raises:
            UsageError: an input that does not exist, or a manifest that cannot be used.
        """
        self._folders = Folders(self.selection)
        self._remote = Remote()
        root = self.selection.root
        self._root = Root(None if root and scheme_of(root) else root)
        listed = [each for each in self.inputs if self._is_manifest(each)]
        check_once(listed)
        self._manifests = {each: self._manifest(each) for each in listed}
        for each in self.inputs:
            if each not in self._manifests:
                self._check_exists(each)
                self._name(each)  # inside the root, or refused before anything is written
        self._check_same_columns()
        check_apart(self._manifests)

    def _is_manifest(self, each: str) -> bool:
        if not each.lower().endswith(".csv"):
            return False
        return is_store(each) or os.path.isfile(each)

    def _manifest(self, each: str) -> Manifest:
        """A manifest; of a remote one a copy."""
        path, folder = Path(each), None
        if is_store(each):
            folder, _, name = each.rpartition("/")
            self._copies.append(open_folder(folder))  # it keeps the copy as long as it is there
            path = _found(each, lambda: self._copies[-1].local(name))
        root, segments = self.selection.root, self.allow_given_segments
        try:
            return Manifest.check(path, root, allow_segments=segments, folder=folder)
        except UsageError as error:
            raise UsageError(str(error).replace(str(path), each)) from error

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
            yield from in_order(self._lines(each), LOOK_UPS)
        elif is_store(each):
            yield from self._listed(each)
        elif os.path.isdir(each):
            yield from self._folders.folder(each, self._name(each))
        elif glob.has_magic(each) and not os.path.exists(each):
            name = self._name(fixed_folder(each))
            yield from matches(each, name, self._folders, self.selection)
        else:
            yield input_file(self._name(each, os.path.basename(each)), os.path.abspath(each))

    def _listed(self, each: str) -> Iterator[InputFile]:
        """What an address of an object store is: an object, a folder or a glob."""
        objects = Objects(self._remote, self._folders, self.selection)
        if glob.has_magic(each) and not self._exists(each):
            yield from objects.matches(each, self._name(fixed_address(each)))
        elif not split_address(each)[1] or not self._remote.find(each):
            yield from objects.folder(each, self._name(each))
        else:
            name = self._name(each, each.rpartition("/")[2])
            yield remote_file(name, each, lambda: self._remote.find(each))

    def _lines(self, each: str) -> Iterator[InputFile | Callable[[], InputFile]]:
        """The lines of a manifest, to be looked up: many addresses at a time."""
        manifest = self._manifests[each]
        for location, columns, segments, number in manifest.entries():
            name, path = self._manifest_name(each, location.name), location.path
            if location.error or not scheme_of(path):
                yield input_file(name, path, columns, location.error, segments)
                continue
            line = Line(os.path.abspath(manifest.path), number) if location.whole else None
            look_up = partial(self._remote.find, location.whole or path)
            yield partial(remote_file, name, path, look_up, columns, segments, line)

    def _exists(self, address: str) -> bool:
        """Whether an address names an object, or objects below it."""
        if split_address(address)[1] and self._remote.find(address):
            return True
        return next(iter(self._remote.list(address)), None) is not None

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
        root = self.selection.root
        if root is not None and (scheme_of(root) or scheme_of(path)):
            return _name_below(path.rstrip("/"), root.rstrip("/"))
        if root is not None:
            name = os.path.relpath(path, root)
            if name.split(os.sep)[0] == os.pardir:
                raise UsageError(f"--input {path} is outside --root {root}")
            if error := self._root.refusal(os.path.realpath(path)):
                raise UsageError(f"--input {path}: {error}")
            return "" if name == os.curdir else table_name(name)
        if len(self.inputs) == 1:
            return table_name(alone)
        return table_name(path.rstrip("/") if scheme_of(path) else os.path.normpath(path))

    def _check_exists(self, path: str) -> None:
        if scheme_of(path):
            self._check_address(path)
            return
        if path.lower().endswith(EXCEL) and os.path.isfile(path):
            raise UsageError(
                f"--input {path}: found a spreadsheet, expected a CSV manifest; save it as CSV (in "
                "Excel, 'CSV UTF-8') and give that"
            )
        if not os.path.lexists(path) and not (glob.has_magic(path) and any_match(path)):
            what = "nothing matches this pattern" if glob.has_magic(path) else NO_FILE
            raise UsageError(
                f"--input {path}: {what}; expected a folder, a file, a glob or a CSV manifest"
            )

    def _check_address(self, address: str) -> None:
        if is_web(address):
            raise UsageError(
                f"--input {public_address(address)}: found a web address; expected a CSV manifest "
                "that lists web files, or an address of an object store (s3://, gs://, az://)"
            )
        split_address(address)
        place = fixed_address(address) if glob.has_magic(address) else address
        if not _found(address, lambda: self._exists(address) or self._exists(place)):
            raise UsageError(
                f"--input {address}: there is no such object, and none below it; expected a "
                "folder, an object, a glob or a CSV manifest"
            )


def _name_below(path: str, root: str) -> str:
    """The name of an address below the root."""
    if path != root and not path.startswith(f"{root}/"):
        raise UsageError(f"--input {path} is outside --root {root}")
    return table_name(path[len(root) + 1 :])


def _found(address: str, look_up: Callable[[], T]) -> T:
    """What is found at an address of `--input`; an error of its store is the user's to solve."""
    try:
        return look_up()
    except FileNotFoundError as error:
        raise UsageError(f"--input {address}: {NO_FILE} ({error.strerror})") from error
    except PermissionError as error:
        raise UsageError(
            f"--input {address}: access denied ({error.strerror}); expected credentials for it in "
            "the environment, in an AWS profile, or of this machine's role"
        ) from error
    except StorageError as error:
        raise UsageError(f"--input {address}: {error}") from error
