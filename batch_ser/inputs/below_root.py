"""Recordings found again by their names in the tables, below a folder or an address."""

import os
import re
from dataclasses import replace

from batch_ser.addresses import scheme_of
from batch_ser.archives import split_member
from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs.archive_files import ArchiveFiles
from batch_ser.inputs.existence import found_at, is_there
from batch_ser.inputs.files import InputFile, input_file, remote_file
from batch_ser.inputs.folders import Selection
from batch_ser.inputs.names import printable
from batch_ser.inputs.root import Root
from batch_ser.storage import Remote, is_store

ESCAPE = re.compile("%(25|[89A-F][0-9A-F])")


class BelowRoot:
    """Finds recordings, also in archives; no name and no link leads out of the root."""

    def __init__(self, option: str, root: str) -> None:
        """`option` names the root in messages.

        Raises:
            UsageError: there is no such folder.
        """
        self._option, self._root = option, root.rstrip("/") or "/"
        self.place = self._root  # as it was given
        self._remote = Remote()
        self._archives = ArchiveFiles(Selection(include=("*",)), self._remote)
        if scheme_of(root):
            self._check_address()
        elif not os.path.isdir(root):
            found = "a file" if os.path.exists(root) else "nothing"
            raise UsageError(
                f"{option} {root}: found {found}, expected the folder with the recordings: the one "
                "that names in the tables start at"
            )
        self._links = Root(None if scheme_of(root) else root)

    def _check_address(self) -> None:
        if not is_store(self._root):
            raise UsageError(
                f"{self._option}: found a web address, expected a folder, or one of an object store"
            )
        if not found_at(self._root, lambda: is_there(self._root, self._remote), self._option):
            raise UsageError(f"{self._option} {self._root}: nothing is there")

    def find(self, name: str) -> InputFile:
        """The recording of a name; what keeps it from being read is its error."""
        path = name if scheme_of(name) else path_of(name)
        if error := self._refusal(path):
            return InputFile(name, path, error=error)
        if scheme_of(self._root):
            address = path if scheme_of(path) else f"{self._root}/{path}"
            return self._at_address(name, address)
        found = input_file(name, os.path.abspath(os.path.join(self._root, path)))
        return self._archives.of_line(found) if found.error else found

    def _at_address(self, name: str, address: str) -> InputFile:
        archive = split_member(address)[0] or address
        found = remote_file(name, archive, lambda: self._remote.find(archive))
        if found.error or archive == address:
            return found
        missing = FileError(Reason.NOT_FOUND, f"there is no such object: {printable(address)}")
        return self._archives.of_line(replace(found, path=address, error=missing))

    def _refusal(self, path: str) -> FileError | None:
        if ".." in path.split("/"):
            return self._outside("its name has ..")
        if scheme_of(path):
            inside = scheme_of(self._root) and path.startswith(f"{self._root}/")
            return None if inside else self._outside("it is at an address")
        if scheme_of(self._root):
            return self._outside("its name is absolute") if path.startswith("/") else None
        joined = os.path.join(self._root, path)
        place = split_member(joined)[0] or joined
        if "\0" not in place and not self._links.holds(os.path.realpath(place)):
            why = "its name is absolute" if path.startswith("/") else "a link leads there"
            return self._outside(why)
        return None

    def _outside(self, why: str) -> FileError:
        root = printable(self._root)
        return FileError(Reason.OUTSIDE_ROOT, f"it is outside of {self._option} {root}: {why}")


def path_of(name: str) -> str:
    """The path whose name in the tables this is: the inverse of `table_name`."""

    def byte(escape: re.Match[str]) -> str:
        code = int(escape[1], 16)
        return "%" if code == 0x25 else chr(0xDC00 + code)

    return ESCAPE.sub(byte, name) if "%" in name else name
