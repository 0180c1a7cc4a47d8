"""The interface of an archive file, whatever its format: what is in it, and the bytes of a member.

A member is never written under its own name, so that a name cannot lead anywhere.
"""

import gzip
import struct
import tarfile
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pyarrow

from batch_ser.errors import FileError, Reason
from batch_ser.storage import StorageError

CHUNK_BYTES = 4_000_000  # that are read, or decompressed, at once
MAX_MEMBER_BYTES = 64_000_000_000  # 48 hours of two channels of 24 bits at 48 kHz are 50 GB
# silence is compressed a thousandfold, as bombs are: it may become this large, which fits on disks
BOMB_BYTES = 1_000_000_000
MAX_RATIO = 200  # of what is larger than that
MAX_BYTES = 1 << 62  # a file has fewer
DAMAGE = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, pyarrow.ArrowException),
    *(EOFError, struct.error, ValueError, ArithmeticError, LookupError, RecursionError),
    NotImplementedError,  # of zipfile, for a version that it does not know
)


class Member(NamedTuple):
    """Where inside an archive a recording is."""

    name: str  # as the archive has it
    place: tuple[int, ...]  # whose meaning the format decides
    size_bytes: int  # as stated; of a row of Parquet the mean of its file


class Found(NamedTuple):
    """An entry of an archive, with what keeps it from being a recording."""

    member: Member
    error: FileError | None = None
    is_folder: bool = False
    values: Mapping[str, str | None] = {}  # of further columns


class Archive(ABC):
    """An open archive."""

    in_order = False  # whether members are read forward: one in front of the last takes long
    takes_every_name = False  # whether every member is a recording, whatever its name

    @abstractmethod
    def entries(self) -> Iterator[Found]:
        """What is in the archive, as far as it can be read.

        Raises:
            FileError: it is damaged there, or is no archive.
            OSError: it cannot be read.
        """

    @abstractmethod
    def read(self, member: Member) -> Iterator[bytes]:
        """The content of a member, part by part: no more bytes than stated.

        Raises:
            FileError: it is damaged, or too large.
            OSError: the archive cannot be read.
        """


@contextmanager
def damage_found(what: str) -> Iterator[None]:
    """Inside, errors of libraries about damaged data become a `FileError`, `corrupt`."""
    try:
        yield
    except DAMAGE as error:
        raise _corrupt(what, error) from error
    except OSError as error:
        if error.errno or isinstance(error, StorageError):
            raise
        raise _corrupt(what, error) from error  # of pyarrow


def _corrupt(what: str, error: Exception) -> FileError:
    kind = f"{error}".splitlines()[0][:200] if f"{error}".strip() else type(error).__name__
    return FileError(Reason.CORRUPT, f"{what} is damaged: {kind}")


def check_size(size_bytes: int) -> None:
    """Refuse what is too large for a recording.

    Raises:
        FileError: `unsupported`.
    """
    if size_bytes > MAX_MEMBER_BYTES:
        raise FileError(
            Reason.UNSUPPORTED,
            f"found a member of {size_bytes:,} bytes, expected at most {MAX_MEMBER_BYTES:,}",
        )


def check_ratio(size_bytes: int, compressed_bytes: int) -> None:
    """Refuse what becomes much larger when it is decompressed.

    Raises:
        FileError: `unsupported`.
    """
    if size_bytes > max(BOMB_BYTES, MAX_RATIO * compressed_bytes):
        raise FileError(
            Reason.UNSUPPORTED,
            f"found {size_bytes:,} bytes in {compressed_bytes:,} compressed ones, expected at most "
            f"{MAX_RATIO} times as many above {BOMB_BYTES:,}; unpack it, if it is no bomb",
        )
