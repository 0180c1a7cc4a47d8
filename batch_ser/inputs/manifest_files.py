"""The files of a manifest that is an input, each looked up where its line says it is."""

import os
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from batch_ser.addresses import scheme_of
from batch_ser.errors import UsageError
from batch_ser.inputs.existence import found_at
from batch_ser.inputs.files import Line, input_file, remote_file
from batch_ser.inputs.input_names import InputNames
from batch_ser.inputs.manifest import Manifest
from batch_ser.inputs.names import printable
from batch_ser.inputs.source import Listed
from batch_ser.storage import Folder, Remote, is_store, open_folder


def is_manifest(each: str) -> bool:
    """Whether an input is a manifest, by its name."""
    if not each.lower().endswith(".csv"):
        return False
    return is_store(each) or os.path.isfile(each)


@dataclass(frozen=True)
class ManifestFiles:
    """A manifest that has been checked, as a source of files."""

    given_as: str  # the input
    manifest: Manifest
    names: InputNames
    remote: Remote
    copied_by: Folder | None = field(default=None, repr=False)  # keeps the copy of a remote one

    @classmethod
    def check(
        cls, each: str, names: InputNames, remote: Remote, *, allow_segments: bool
    ) -> "ManifestFiles":
        """A manifest, checked; of a remote one a copy.

        Raises:
            UsageError: it cannot be read, or has faulty lines, all listed with their numbers.
        """
        path, address, copied_by = Path(each), None, None
        if is_store(each):
            address, _, name = each.rpartition("/")
            folder = copied_by = open_folder(address)
            path = found_at(each, lambda: folder.local(name))
        try:
            manifest = Manifest.check(
                path, names.root, allow_segments=allow_segments, folder=address
            )
        except UsageError as error:
            raise UsageError(str(error).replace(str(path), each)) from error
        return cls(each, manifest, names, remote, copied_by)

    @property
    def further_columns(self) -> tuple[str, ...]:
        return self.manifest.further_columns

    @property
    def has_given_segments(self) -> bool:
        return self.manifest.given_lines is not None

    @property
    def given_channels(self) -> Set[int]:
        return self.manifest.given_lines.channels if self.manifest.given_lines else frozenset()

    def entries(self) -> Iterator[Listed]:
        """The files of its lines; those at addresses are still to be looked up."""
        for location, columns, segments, number in self.manifest.entries():
            name, path = self.names.of_line(self.given_as, location.name), location.path
            if location.error or not scheme_of(path):
                yield input_file(name, path, columns, location.error, segments)
                continue
            manifest = os.path.abspath(self.manifest.path)
            line = Line(manifest, number) if location.whole else None
            look_up = partial(self.remote.find, location.whole or path)
            yield partial(remote_file, name, path, look_up, columns, segments, line)


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
        for location, values, segments, _ in each.manifest.entries():
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
