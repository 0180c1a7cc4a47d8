"""What there is to do: folders, globs, files and CSV manifests to a lazy stream of inputs.

Nothing is opened here, only listed. Whatever cannot become a recording (a manifest's line without
a file, a folder that may not be read) is still an input: it carries its error and gets its row.
"""

import fnmatch
import glob
import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from batch_ser.audio import RAW_ENDINGS
from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs.manifest import Manifest, check_apart, check_once, printable

AUDIO_SUFFIXES = RAW_ENDINGS | {
    ".wav", ".wave", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2",
    ".mpga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".sph", ".m4a", ".m4b",
    ".aac", ".amr", ".awb", ".ac3", ".eac3", ".wma", ".asf", ".mka", ".ape", ".tta", ".wv",
    ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".avi", ".flv",
}  # fmt: skip


@dataclass(frozen=True)
class InputFile:
    """One input: its name in the tables, where it lies, and what the listing says of it."""

    file: str
    path: str
    size_bytes: int = 0
    modified_us: int = 0  # since 1970, UTC
    columns: tuple[str, ...] = ()  # values of the manifest's further columns
    error: FileError | None = None
    given: bytes = b""  # the segments that a manifest gives of it, packed

    @property
    def digest(self) -> str:
        """Which segments are given: other ones make it another file to a job."""
        return hashlib.sha256(self.given).hexdigest()[:16] if self.given else ""

    @property
    def version(self) -> tuple[int, int, str]:
        """What a row of this file must say to be of this file as it is now."""
        return self.size_bytes, self.modified_us, self.digest


@dataclass(frozen=True)
class Selection:
    """What of the inputs is wanted."""

    include: tuple[str, ...] = ()  # patterns of names or relative paths; empty: known suffixes
    exclude: tuple[str, ...] = ()
    root: str | None = None  # what names in the tables are relative to
    never: tuple[str, ...] = ()  # real paths of the job's own output


@dataclass
class Walk:
    """The inputs, listed lazily and once; the counters are complete when iteration ends."""

    inputs: tuple[str, ...]
    selection: Selection = Selection()
    ignored: int = 0  # files in folders that are no recordings by their name
    repeated: int = 0  # listed again under the same name
    may_give: bool = True  # segments: a manifest with start_s and end_s does
    manifest_columns: tuple[str, ...] = field(init=False, default=())
    gives: bool = field(init=False, default=False)  # segments
    given_channels: set[int] = field(init=False, default_factory=set)  # that these name

    def __post_init__(self) -> None:
        """Check every input before the first is listed.

        Raises:
            UsageError: an input that does not exist, or a manifest that cannot be used.
        """
        listed = [each for each in self.inputs if _is_manifest(each)]
        check_once(listed)
        self._manifests = {
            each: Manifest.check(Path(each), self.selection.root, self.may_give) for each in listed
        }
        for each in self.inputs:
            if each not in self._manifests:
                _check_exists(each)
                self._named(each)  # inside the root, or refused before anything is written
        manifests = self._manifests.values()
        columns = {(each.asked is not None, each.further_columns) for each in manifests}
        if len(columns) > 1 or (columns and len(self._manifests) < len(self.inputs)):
            raise UsageError(
                "--input: all inputs of a job must be manifests with the same columns, or none; "
                f"found {len(self._manifests)} manifests in {len(self.inputs)} inputs"
            )
        check_apart(self._manifests)
        self.gives, self.manifest_columns = columns.pop() if columns else (False, ())
        self.given_channels = {
            number for each in manifests if each.asked for number in each.asked.channels
        }

    def __iter__(self) -> Iterator[InputFile]:
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
            for (name, path, error), values, given in self._manifests[each].lines():
                named = printable(self._below(each, name))
                yield replace(_input(named, path, values, error), given=given)
        elif os.path.isdir(each):
            yield from self._folder(each, self._named(each), ())
        elif glob.has_magic(each) and not os.path.exists(each):
            yield from self._glob(each)
        else:
            yield _input(self._named(each, os.path.basename(each)), os.path.abspath(each))

    def _below(self, manifest: str, name: str) -> str:
        """The name of a manifest's line: of several manifests, below its folder as given.

        Two that list an `a.wav` each mean two recordings. `--root` is the root of all of them.
        """
        if len(self.inputs) == 1 or self.selection.root is not None or "://" in name:
            return name
        return os.path.join(os.path.normpath(os.path.dirname(manifest)), name).removeprefix("./")

    def _named(self, path: str, alone: str = "") -> str:
        """An input's name: relative to the root, or as given when there are several inputs."""
        if self.selection.root is not None:
            name = os.path.relpath(path, self.selection.root)
            if name.split(os.sep)[0] == os.pardir:
                raise UsageError(f"--input {path} lies outside --root {self.selection.root}")
            return "" if name == os.curdir else printable(name)
        return printable(os.path.normpath(path)) if len(self.inputs) > 1 else printable(alone)

    def _glob(self, pattern: str) -> Iterator[InputFile]:
        """Matches, named from the last folder before the first wildcard.

        A pattern that names an ending (`*.dat`) means every match, whatever we know of it.
        """
        explicit = Path(pattern).suffix not in ("", ".*") and not glob.has_magic(
            Path(pattern).suffix
        )
        parts = Path(pattern).parts
        fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
        root = os.path.join(*parts[:fixed]) if fixed else os.curdir
        for path in sorted(glob.iglob(pattern, recursive=True)):
            name = os.path.join(self._named(root), printable(os.path.relpath(path, root)))
            if os.path.isdir(path):
                if "**" not in parts:  # `**` lists what is inside by itself
                    yield from self._folder(path, name, ())
            elif self._wanted(os.path.basename(path), name, os.path.realpath(path), explicit):
                yield _input(name, os.path.abspath(path))

    def _folder(self, folder: str, name: str, above: tuple[str, ...]) -> Iterator[InputFile]:
        """The recordings below a folder, by name; links to folders are followed, but not round."""
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
                if os.path.join(real, entry.name) not in self.selection.never:
                    yield from self._folder_entry(entry.path, path, (*above, real))
            elif self._wanted(entry.name, path, os.path.join(real, entry.name)):
                yield _input(path, os.path.abspath(entry.path))

    def _folder_entry(self, folder: str, name: str, above: tuple[str, ...]) -> Iterator[InputFile]:
        """What lies in a sub-folder; one that is named like a recording gets a row of its own."""
        if Path(folder).suffix.lower() in AUDIO_SUFFIXES:
            yield _input(name, os.path.abspath(folder))
        yield from self._folder(folder, name, above)

    def _wanted(self, base: str, name: str, real: str, explicit: bool = False) -> bool:
        if real in self.selection.never or _matches(self.selection.exclude, base, name):
            return False
        include = self.selection.include
        wanted = (
            _matches(include, base, name)
            if include
            else explicit or os.path.splitext(base)[1].lower() in AUDIO_SUFFIXES
        )
        self.ignored += not wanted
        return wanted


def _input(
    name: str, path: str, columns: tuple[str, ...] = (), error: FileError | None = None
) -> InputFile:
    """An input with what the file system says of it; what stands in its way becomes its error."""
    if error:
        return InputFile(name, path, columns=columns, error=error)
    try:
        found = os.stat(path)
    except (OSError, ValueError) as problem:  # ValueError: a name with a NUL in it
        reason, message = Reason.FETCH_FAILED, printable(f"the file cannot be reached: {problem}")
        if isinstance(problem, FileNotFoundError | NotADirectoryError):
            reason, message = Reason.NOT_FOUND, f"there is no such file: {printable(path)}"
        elif isinstance(problem, PermissionError):
            reason, message = Reason.FORBIDDEN, "the file may not be reached: permission denied"
        return InputFile(name, path, columns=columns, error=FileError(reason, message))
    modified_us = found.st_mtime_ns // 1000
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "a pipe, socket or device"
        error = FileError(Reason.NOT_A_FILE, f"this is {kind}, expected a file")
    return InputFile(name, path, found.st_size, modified_us, columns, error)


def _is_manifest(path: str) -> bool:
    return path.lower().endswith(".csv") and os.path.isfile(path)


def _matches(patterns: tuple[str, ...], base: str, name: str) -> bool:
    return any(fnmatch.fnmatch(base, p) or fnmatch.fnmatch(name, p) for p in patterns)


def _check_exists(path: str) -> None:
    if "://" in path:
        raise UsageError(
            f"--input {path.partition('://')[0]}://...: this version reads local files only; "
            "mount or copy the recordings"
        )
    if not os.path.lexists(path) and not (glob.has_magic(path) and _any_match(path)):
        what = "nothing matches this pattern" if glob.has_magic(path) else "there is no such file"
        raise UsageError(
            f"--input {path}: {what}; expected a folder, a file, a glob or a CSV manifest"
        )


def _any_match(pattern: str) -> bool:
    return next(glob.iglob(pattern, recursive=True), None) is not None
