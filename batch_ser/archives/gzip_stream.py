"""The content of a gzip file, read forward."""

import gzip
from typing import BinaryIO

from batch_ser.archives.archive import CHUNK_BYTES, check_ratio


class GzipStream:
    """Decompresses as it is read; to seek backwards begins again at the start."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = gzip.GzipFile(fileobj=file)
        self._at = 0

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end.

        Raises:
            FileError: the file is a bomb.
        """
        parts = []
        while size > 0 and (part := self._stream.read(min(size, CHUNK_BYTES))):
            parts.append(part)
            size -= len(part)
            self._at += len(part)
            check_ratio(self._at, self._file.tell())
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def seek(self, position: int) -> int:
        """Go to a position in the content; no farther than its end."""
        if position < self._at:
            self._stream.seek(0)
            self._at = 0
        while self._at < position and self.read(min(position - self._at, CHUNK_BYTES)):
            pass
        return self._at

    def tell(self) -> int:
        """The position in the content."""
        return self._at
