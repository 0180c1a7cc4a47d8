"""An object that is read like a file: in ranges, as they are needed."""

import io
from typing import Any

import obstore

from batch_ser.storage.folder import StorageError, StoredFile
from batch_ser.storage.object_errors import translated
from batch_ser.storage.object_store import ATTEMPTS, Bucket

BLOCK_BYTES = 65_536  # that are requested at least: a header, and what is next to it


class ObjectReader(io.RawIOBase):
    """One version of an object; errors are those of `Remote`."""

    def __init__(self, bucket: Bucket, key: str, version: StoredFile) -> None:
        super().__init__()
        self._bucket, self._key, self._version = bucket, key, version
        self._at = self._start = 0
        self._block = b""  # of the object, from `_start` on

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._version.size_bytes}
        self._at = max(0, start[whence] + position)
        return self._at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._version.size_bytes - self._at)
        if wanted <= 0:
            return 0
        begin = self._at - self._start
        if begin < 0 or begin + wanted > len(self._block):
            self._block, self._start, begin = self._request(wanted), self._at, 0
        buffer[:wanted] = self._block[begin : begin + wanted]
        self._at += wanted
        return wanted

    def _request(self, wanted: int) -> bytes:
        end = min(self._at + max(wanted, BLOCK_BYTES), self._version.size_bytes)
        place = f"{self._bucket.address}/{self._key}"
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with translated(place):
                    return self._get(place, end)
            except StorageError:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError

    def _get(self, place: str, end: int) -> bytes:
        result = obstore.get(self._bucket.store, self._key, options={"range": (self._at, end)})
        if (result.meta["e_tag"] or "") != self._version.version.partition(" ")[0]:
            raise StorageError(f"{place}: the object changed while it was read; run again")
        data = bytes(result.bytes())
        if len(data) != end - self._at:
            raise StorageError(f"{place}: {len(data):,} bytes came of {end - self._at:,}")
        return data
