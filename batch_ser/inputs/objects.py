"""The recordings below an address of an object store, chosen by their names, as in folders."""

import glob
from collections.abc import Iterator
from itertools import chain, pairwise

from batch_ser.errors import FileError, Reason
from batch_ser.inputs.files import InputFile
from batch_ser.inputs.folders import Folders, Selection
from batch_ser.inputs.globs import parts_match
from batch_ser.inputs.names import table_name
from batch_ser.storage import Remote, StoredFile, split_address


def fixed_address(pattern: str) -> str:
    """The address of the last folder before a glob's first wildcard."""
    bucket, key = split_address(pattern)
    parts = key.split("/")
    fixed = next(i for i, part in enumerate(parts) if glob.has_magic(part))
    return "/".join([bucket, *parts[:fixed]])


class Objects:
    """Lists addresses by a selection, as they are used: a thousand objects at a request."""

    def __init__(self, remote: Remote, folders: Folders, selection: Selection) -> None:
        """`folders` judges names, and counts those that are ignored."""
        self._remote = remote
        self._folders = folders
        self._never = selection.never

    def folder(self, address: str, name: str) -> Iterator[InputFile]:
        """The recordings below an address; `name` is its name in the tables."""
        for below, found in self._below(address):
            if self._is_selected(below, name):
                yield _input(address, below, name, found)

    def matches(self, pattern: str, name: str) -> Iterator[InputFile]:
        """The recordings that match a glob; `name` is that of its `fixed_address`.

        A pattern with a fixed suffix (`*.dat`) selects every match, whatever the suffix. One that
        matches a folder selects what is in it.
        """
        top, parts = fixed_address(pattern), split_address(pattern)[1].split("/")
        fixed = len(split_address(top)[1].split("/")) if split_address(top)[1] else 0
        wanted, last = parts[fixed:], parts[-1]
        every_suffix = "." in last and not glob.has_magic(last.rpartition(".")[2])
        for below, found in self._below(top):
            path = below.split("/")
            matched = [n for n in range(1, len(path) + 1) if parts_match(wanted, path[:n])]
            every = every_suffix and len(path) in matched
            if matched and self._is_selected(below, name, every_suffix=every):
                yield _input(top, below, name, found)

    def _below(self, address: str) -> Iterator[tuple[str, StoredFile]]:
        """Objects with their names below an address, but hidden ones, our own, and the empty ones
        that mark folders.
        """
        bucket, key = split_address(address)
        start = len(key) + 1 if key else 0
        listed = chain(self._remote.list(address), [None])
        for found, following in pairwise(listed):
            assert found
            marks = following and following.name.startswith(f"{found.name}/")
            below = found.name[start:]
            if (marks and not found.size_bytes) or f"/{below}".find("/.") >= 0:
                continue
            place = f"{bucket}/{found.name}"
            if not any(place == own or place.startswith(f"{own}/") for own in self._never):
                yield below, found

    def _is_selected(self, below: str, name: str, *, every_suffix: bool = False) -> bool:
        base = below.rpartition("/")[2]
        return self._folders.is_selected(base, _joined(name, below), every_suffix=every_suffix)


def _input(address: str, below: str, name: str, found: StoredFile) -> InputFile:
    error = FileError(Reason.FETCH_FAILED, found.problem) if found.problem else None
    path = f"{address.rstrip('/')}/{below}"
    return InputFile(_joined(name, below), path, found.size_bytes, found.modified_us, error=error)


def _joined(name: str, below: str) -> str:
    below = table_name(below)
    return f"{name}/{below}" if name else below
