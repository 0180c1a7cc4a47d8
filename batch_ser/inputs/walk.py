"""All inputs of a job: folders, globs, files and sources such as manifests to a stream of files.

Nothing is opened here, only listed. Whatever cannot become a recording (a manifest's line without
a file, a folder that may not be read) is still an input: it carries its error and gets its row.
"""

import glob
import os
from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from itertools import chain

from batch_ser.archives import BELOW, archive_kind, split_member
from batch_ser.errors import UsageError
from batch_ser.inputs.archive_files import NO_MEMBER, ArchiveFiles
from batch_ser.inputs.audio_folders import metadata_of
from batch_ser.inputs.existence import check_apart_from_output, check_exists, is_there
from batch_ser.inputs.files import InputFile, input_file, remote_file
from batch_ser.inputs.folders import Folders, Selection
from batch_ser.inputs.globs import fixed_folder, matches
from batch_ser.inputs.input_names import InputNames
from batch_ser.inputs.manifest_files import (
    ManifestFiles,
    Opening,
    check_apart,
    check_once,
    is_manifest,
)
from batch_ser.inputs.names import table_name
from batch_ser.inputs.objects import Objects, fixed_address
from batch_ser.inputs.places import Places
from batch_ser.inputs.source import JobColumns, Source, check_all_given
from batch_ser.storage import Remote, in_order, is_store, split_address

LOOK_UPS = 32  # addresses of a manifest at a time


@dataclass
class Walk:
    """The inputs, listed lazily and once; the counters are complete when iteration ends."""

    inputs: tuple[str, ...]
    selection: Selection = field(default_factory=Selection)
    allow_given_segments: bool = True  # else start_s and end_s of a manifest are further columns
    repeated: int = field(init=False, default=0)  # listed again: the same name, or in a source, too
    manifest_columns: tuple[str, ...] = field(init=False, default=())  # of all sources
    has_given_segments: bool = field(init=False, default=False)
    has_roles: bool = field(init=False, default=False)  # a manifest has the column `roles`
    given_channels: set[int] = field(init=False, default_factory=set)  # that given segments name

    def __post_init__(self) -> None:
        """Check every input before the first is listed.

        Raises:
            UsageError: an input that does not exist, or a manifest that cannot be used.
        """
        self._folders = Folders(self.selection)
        self._remote = Remote()
        self._names = InputNames(len(self.inputs), self.selection.root)
        self._archives = ArchiveFiles(self.selection, self._remote)
        self._manifests = [each for each in self.inputs if self._is_manifest(each)]
        self._others = [each for each in self.inputs if each not in self._manifests]
        for each, _ in map(_in_archive, self._others):
            check_exists(each, self._remote)
            check_apart_from_output(each, self.selection.never)
            self._names.of(each)  # inside the root, or refused before anything is written
        self._sources = self._checked_sources()
        self.has_given_segments = check_all_given(self._sources, others=bool(self._others))
        self.has_roles = any(each.has_roles for each in self._sources)
        self._list_archives()
        self._columns = JobColumns.of(self._sources).and_of(self._archives.columns)
        self.manifest_columns = self._columns.names
        self.given_channels = {number for each in self._sources for number in each.given_channels}

    def _checked_sources(self) -> list[Source]:
        """The manifests among the inputs, and in folders of Hugging Face, in their order."""
        check_once(self._manifests)
        opening = Opening(self._names, self._remote, self.selection, self.allow_given_segments)
        manifests: list[ManifestFiles] = []
        for each in self.inputs:
            if each in self._manifests:
                manifests.append(ManifestFiles.check(each, opening))
            else:
                manifests += metadata_of(each, opening)
        check_apart(manifests)
        return [*manifests]

    def _is_manifest(self, each: str) -> bool:
        return is_manifest(each) and not self._archives.embeds_audio(each)

    def _list_archives(self) -> None:
        """List archives whose columns have to be known before the job begins.

        Folders of object stores are not listed for that, which takes minutes for millions.
        """
        self._folders = Folders(self.selection, archives_only=True)
        paths = [_in_archive(each)[0] for each in self._others]
        listed = (
            found
            for path in paths
            if archive_kind(path) or not is_store(path)
            for found in self._list(path)
        )
        self._archives.add(found for found in listed if _is_archive(found))

    @property
    def has_archives(self) -> bool:
        """Whether there are archives among the inputs."""
        return bool(self._archives)

    @property
    def whole_archives(self) -> Set[str]:
        """Names of archives all of whose members have been listed: they have no rows themselves."""
        return self._archives.whole

    @property
    def ignored(self) -> int:
        """Files in folders that are no recordings by their name."""
        return self._folders.ignored

    def check_any(self) -> None:
        """List until the first input is found.

        Raises:
            UsageError: there is none, which can hardly be meant.
        """
        if next(iter(self), None) is None:
            raise UsageError(f"--input: {self.nothing_found()}. --allow-empty makes empty tables")

    def nothing_found(self) -> str:
        """What was found and expected, once everything is listed and there is no input."""
        inputs = ", ".join(self.inputs)
        if self._sources and not self._others:
            return f"{inputs} has a header and no lines; expected a line for each recording"
        found = (
            f"no recordings found in {inputs}, {self.ignored:,} files were passed over by "
            "their names; expected known audio suffixes (--include '*' takes every file)"
        )
        return f"{found}, also in archives: there is none in these" if self._archives else found

    def __iter__(self) -> Iterator[InputFile]:
        """Sources first: of a file that is also in a folder, the line with its columns counts."""
        self._folders, self.repeated = Folders(self.selection), 0
        places = Places() if self._sources and self._others else None
        seen: set[str] = set()
        for found in chain(self._of_sources(places), self._of_others(places)):
            if found.file in seen:
                self.repeated += 1
            else:
                seen.add(found.file)
                yield found

    def _of_sources(self, places: Places | None) -> Iterator[InputFile]:
        for source in self._sources:
            converted = self._columns.converter(source)
            for found in in_order(source.entries(), LOOK_UPS):
                if places is not None:
                    places.add(found)
                yield converted(self._archives.of_line(found))

    def _of_others(self, places: Places | None) -> Iterator[InputFile]:
        for each in self._others:
            for found in self._recordings(each):
                if places is not None and not found.member and found in places:
                    self.repeated += 1
                else:
                    yield found

    def _recordings(self, each: str) -> Iterator[InputFile]:
        """The files of an input, with those in archives in the place of these."""
        path, member = _in_archive(each)
        for found in self._list(path):
            if not _is_archive(found):
                yield self._columns.without_source(found)
                continue
            inside = self._archives.recordings(found, self._columns.names, self._folders)
            if member:
                name = f"{found.file}{BELOW}{table_name(member)}"
                yield next((one for one in inside if one.file == name), _not_in(found, name))
            else:
                yield from inside

    def _list(self, each: str) -> Iterator[InputFile]:
        names = self._names
        if is_store(each):
            yield from self._listed(each)
        elif os.path.isdir(each):
            yield from self._folders.folder(each, names.of(each))
        elif glob.has_magic(each) and not os.path.exists(each):
            name = names.of(fixed_folder(each))
            yield from matches(each, name, self._folders, self.selection)
        else:
            yield input_file(names.of(each, os.path.basename(each)), os.path.abspath(each))

    def _listed(self, each: str) -> Iterator[InputFile]:
        """What an address of an object store is: an object, a folder or a glob."""
        objects = Objects(self._remote, self._folders, self.selection)
        if glob.has_magic(each) and not is_there(each, self._remote):
            yield from objects.matches(each, self._names.of(fixed_address(each)))
        elif not split_address(each)[1] or not self._remote.find(each):
            yield from objects.folder(each, self._names.of(each))
        else:
            name = self._names.of(each, each.rpartition("/")[2])
            yield remote_file(name, each, lambda: self._remote.find(each))


def _is_archive(file: InputFile) -> bool:
    return file.error is None and archive_kind(file.path) is not None


def _in_archive(each: str) -> tuple[str, str]:
    """The path of an input, and the member if it names one: `a.tar!/b.wav`."""
    archive, member = split_member(each)
    return (archive, member) if member and not os.path.lexists(each) else (each, "")


def _not_in(archive: InputFile, name: str) -> InputFile:
    return replace(archive, file=name, error=NO_MEMBER)
