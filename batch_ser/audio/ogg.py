"""Ogg files: chains of links, of which libsndfile reads the first alone.

A file that was recorded in several goes, or joined with `cat`, is such a chain. Each link is found
by its page headers and decoded on its own, at its own rate.
"""

import io
import os
from collections.abc import Iterator

from batch_ser.audio.ogg_pages import read_link
from batch_ser.audio.samples import Samples
from batch_ser.audio.sndfile import SndFile
from batch_ser.errors import FileError


class OggFile:
    """A chain of links through libsndfile, one after the other."""

    damaged = False
    first_track = False

    def __init__(self, path: str, *, has_damaged_pages: bool = False) -> None:
        """Open the first link; damaged pages are left out by libsndfile.

        Raises:
            FileError: as `SndFile`.
        """
        self._path = path
        self._link = SndFile(path)
        self.rate_hz, self.channels = self._link.rate_hz, self._link.channels
        self.codec = self._link.codec
        self.is_empty = self._link.is_empty
        self.stopped_by: str | None = None
        self.truncated = has_damaged_pages

    def close(self) -> None:
        self._link.close()

    def blocks(self) -> Iterator[tuple[int, Samples]]:
        """Yield each link's rate and samples (frames, channels)."""
        start = 0
        while True:
            yield from self._link.blocks()
            link = read_link(self._path, start)
            self.stopped_by = self._link.stopped_by
            self.truncated |= self._link.truncated or not link.has_last_page
            if link.next_start is None:
                return
            self._link.close()
            start = link.next_start
            try:
                end = read_link(self._path, start).next_start
                self._link = SndFile(_Part(self._path, start, end))
            except FileError as error:
                self.stopped_by, self.truncated = str(error), True
                return


class _Part(io.RawIOBase):
    """Some bytes of a file, as a file."""

    def __init__(self, path: str, start: int, end: int | None) -> None:
        self._file = open(path, "rb")  # noqa: SIM115 (closed with this object)
        self._start = start
        self._size = (os.path.getsize(path) if end is None else end) - start
        self._file.seek(start)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.tell(), io.SEEK_END: self._size}[whence]
        return self._file.seek(self._start + max(0, base + offset)) - self._start

    def tell(self) -> int:
        return self._file.tell() - self._start

    def readinto(self, into: memoryview) -> int:  # type: ignore[override]
        return self._file.readinto(memoryview(into)[: max(0, self._size - self.tell())])

    def close(self) -> None:
        self._file.close()
        super().close()
