"""Archives that members are read from, of the version that was listed."""

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from batch_ser.addresses import scheme_of
from batch_ser.archives.archive import Archive, Member
from batch_ser.archives.kinds import archive_kind, is_in_order
from batch_ser.archives.parquet_audio import embeds_audio
from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.storage import Remote, StoredFile

KEPT = 4  # archives that are read in order; each has a buffer of a row group or a stream


class OpenArchives:
    """Opens archives; those that are read in order stay open and are read on.

    Members of an archive that is not read in order may be read by several threads.
    """

    def __init__(self, remote: Remote | None = None) -> None:
        self._remote = remote or Remote()
        self._found: dict[str, StoredFile] = {}  # objects, by address
        self._in_order: dict[tuple[str, int, int], tuple[Archive, BinaryIO]] = {}
        weakref.finalize(self, _close, self._in_order)

    @contextmanager
    def open(self, path: str, size_bytes: int, modified_us: int) -> Iterator[Archive]:
        """An archive at a path or an address, of a version.

        Raises:
            FileError: it is another version now, `fetch_failed`.
            OSError: it cannot be read.
        """
        archive, file = self._open(path, size_bytes, modified_us)
        with file:
            yield archive

    def embeds_audio(self, path: str) -> bool:
        """Whether a Parquet file can be read, and its rows hold recordings."""
        try:
            with self._file(path)[0] as file:
                return embeds_audio(file)
        except (OSError, UsageError):
            return False

    def _open(self, path: str, size_bytes: int, modified_us: int) -> tuple[Archive, BinaryIO]:
        kind = archive_kind(path)
        assert kind
        file, version = self._file(path)
        if version != (size_bytes, modified_us):
            file.close()
            raise FileError(Reason.FETCH_FAILED, "the archive changed while the job ran; run again")
        return kind(file), file

    def _file(self, path: str) -> tuple[BinaryIO, tuple[int, int]]:
        if not scheme_of(path):
            file = open(path, "rb")  # noqa: SIM115
            found = os.fstat(file.fileno())
            return file, (found.st_size, found.st_mtime_ns // 1000)
        stored = self._found.get(path) or self._remote.find(path)
        if stored is None:
            raise FileNotFoundError(path)
        self._found[path] = stored
        return self._remote.open(path, stored), (stored.size_bytes, max(stored.modified_us, 0))

    def read(self, path: str, size_bytes: int, modified_us: int, member: Member) -> Iterator[bytes]:
        """The content of a member, part by part.

        Raises:
            FileError, OSError: it cannot be read.
        """
        if is_in_order(path):
            yield from self._read_on((path, size_bytes, modified_us), member)
            return
        with self.open(path, size_bytes, modified_us) as archive:
            yield from archive.read(member)

    def _read_on(self, key: tuple[str, int, int], member: Member) -> Iterator[bytes]:
        opened = self._in_order.pop(key) if key in self._in_order else self._open(*key)
        archive, file = opened
        try:
            yield from archive.read(member)
        except BaseException:  # it is not known where the stream is
            file.close()
            raise
        self._in_order[key] = archive, file
        while len(self._in_order) > KEPT:
            self._in_order.pop(next(iter(self._in_order)))[1].close()


def _close(opened: dict[tuple[str, int, int], tuple[Archive, BinaryIO]]) -> None:
    for _, file in opened.values():
        file.close()
