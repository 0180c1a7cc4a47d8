"""A folder with files, wherever it is: what results are read from and written to."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class StoredFile(NamedTuple):
    """What a folder reports of one of its files."""

    name: str  # below the folder, with `/`
    size_bytes: int
    modified_us: int  # since 1970, UTC; 0: not known
    version: str  # another content has another one: an ETag, or what the file system knows
    problem: str = ""  # why it cannot be read by this name


class StorageError(OSError):
    """An object store cannot be read or written; the message says why, without any secret.

    Where a file is missing or forbidden, `FileNotFoundError` and `PermissionError` are raised.
    """


class Changed(Exception):
    """A file was to be replaced, and is no longer the version that was read."""


class Folder(ABC):
    """Files by their names below a folder. What is written is whole, or not there at all.

    Every method raises `StorageError` or another `OSError` where storage cannot be used.
    """

    address: str  # a path, or such as s3://bucket/folder

    def place(self, name: str) -> str:
        """Where a file is, for messages."""
        return f"{self.address.rstrip('/')}/{name}" if name else self.address

    @abstractmethod
    def entries(self, below: str = "") -> Iterator[StoredFile]:
        """The files in the folder `below` this one and its folders.

        None where there is no such folder.
        """

    @abstractmethod
    def find(self, name: str) -> StoredFile | None:
        """What is known of a file; None if there is none."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a small file.

        Raises:
            FileNotFoundError: there is none.
        """

    @abstractmethod
    def write(self, name: str, data: bytes, scratch: str | None = None) -> None:
        """Make or replace a small file, by way of the folder `scratch` (default: its own)."""

    @abstractmethod
    def replace(self, name: str, data: bytes, version: str | None) -> str:
        """Make a small file that does not exist (version None), or replace one of this version.

        Returns its new version.

        Raises:
            Changed: it exists, or has another version. A store without conditions never does.
        """

    @abstractmethod
    def new_tables(self, below: str) -> Path:
        """A new local folder in which files are made that then become those of `below`."""

    @abstractmethod
    def put_tables(self, made: Path, below: str, names: Iterable[str]) -> None:
        """Let files of a folder of `new_tables` be those with the same names in `below`."""

    @abstractmethod
    def local(self, name: str) -> Path:
        """A local file with the content of this one, to be read and left unchanged.

        Threads may ask for different files at the same time.

        Raises:
            FileNotFoundError: there is none.
        """

    @abstractmethod
    def move(self, name: str, to: str) -> None:
        """Give a file another name, where it may replace one."""

    @abstractmethod
    def settle(self, below: Iterable[str]) -> None:
        """Wait until the names in some folders would survive a loss of power."""

    @abstractmethod
    def remove(self, *names: str) -> None:
        """Remove files, as far as they exist."""

    @abstractmethod
    def remove_empty(self, below: str) -> None:
        """Remove the empty folders in a folder, and it; an object store has no empty ones."""
