"""A folder of this machine. Files survive a loss of power: written under another name, synced, then
renamed.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from batch_ser.storage.folder import Changed, Folder, StoredFile

PARTIAL = ".partial"  # ends the names of files that are being written


class LocalFolder(Folder):
    """A folder by its path; it is made when something is written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.address = str(path)

    def entries(self, below: str = "") -> Iterator[StoredFile]:
        for folder, folders, names in os.walk(self.path / below):
            folders.sort()
            for name in sorted(names):
                path = Path(folder) / name
                if found := self.find(str(path.relative_to(self.path))):
                    yield found

    def find(self, name: str) -> StoredFile | None:
        try:
            found = (self.path / name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not (self.path / name).is_file():
            return None
        return StoredFile(name, found.st_size, found.st_mtime_ns // 1000, _version(found))

    def read(self, name: str) -> bytes:
        return (self.path / name).read_bytes()

    def write(self, name: str, data: bytes, scratch: str | None = None) -> None:
        path = self.path / name
        folder = path.parent if scratch is None else self.path / scratch
        for each in (folder, path.parent):
            each.mkdir(parents=True, exist_ok=True)
        _write(path, data, folder)

    def replace(self, name: str, data: bytes, version: str | None) -> str:
        folder = (self.path / name).parent
        if version is None:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            with _locked(folder):
                found = self.find(name)
                if (found and found.version) != version:
                    raise Changed(name)
                _write(self.path / name, data, folder)
                return _version((self.path / name).stat())
        except FileNotFoundError as error:  # the folder was removed meanwhile
            raise Changed(name) from error

    def new_tables(self, below: str) -> Path:
        """The folder itself: files are made where they are to be, on the same disk."""
        folder = self.path / below
        folder.mkdir(parents=True)
        return folder

    def put_tables(self, made: Path, below: str, names: Iterable[str]) -> None:  # noqa: ARG002
        for name in names:
            sync(made / name)

    def local(self, name: str) -> Path:
        path = self.path / name
        if not path.is_file():
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
        return path

    def move(self, name: str, to: str) -> None:
        target = self.path / to
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).replace(target)

    def settle(self, below: Iterable[str]) -> None:
        for folder in below:
            sync(self.path / folder)

    def remove(self, *names: str) -> None:
        for name in names:
            with contextlib.suppress(NotADirectoryError):
                (self.path / name).unlink(missing_ok=True)

    def remove_empty(self, below: str) -> None:
        for folder, _, _ in os.walk(self.path / below, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def _write(path: Path, data: bytes, folder: Path) -> None:
    """Make or replace a file in one go, by way of a folder on the same disk."""
    partial = folder / f"{path.name}.{uuid.uuid4().hex[:8]}{PARTIAL}"
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def _version(found: os.stat_result) -> str:
    return f"{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Inside, no other process on this machine replaces a file of the folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems lock no folders
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system without it
            raise
    finally:
        os.close(descriptor)


def describe_files(paths: Iterable[Path], below: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files, by their names below a folder."""
    return {str(path.relative_to(below)): describe(path) for path in paths}


def describe(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"size_bytes": path.stat().st_size, "sha256": digest}
