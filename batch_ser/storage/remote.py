"""Files at addresses, in object stores and on web servers: looked up, listed and copied here."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from batch_ser.storage.folder import StoredFile
from batch_ser.storage.open_folder import is_web, split_address

if TYPE_CHECKING:
    from batch_ser.storage.object_store import Bucket


class Remote:
    """Opens each bucket once; its methods may be called by several threads.

    They raise `FileNotFoundError`, `PermissionError` and `StorageError`, and `UsageError` where an
    address cannot be used.
    """

    def __init__(self) -> None:
        self._buckets: dict[str, Bucket] = {}
        self._lock = threading.Lock()

    def list(self, address: str) -> Iterator[StoredFile]:
        """What is below the folder that an address of a store names, by name, lazily.

        Names are those below the bucket; one whose `problem` is not empty cannot be fetched.
        """
        bucket, key = self._open(address)
        yield from bucket.list(f"{key}/" if key else "")

    def find(self, address: str) -> StoredFile | None:
        """What is reported of a file; None if there is none."""
        bucket, key = self._open(address)
        return bucket.find(key)

    def fetch(self, address: str, to: Path) -> StoredFile:
        """Copy a file, whole and of one version, which is returned."""
        bucket, key = self._open(address)
        return bucket.fetch(key, to)

    def open(self, address: str, found: StoredFile) -> BinaryIO:
        """A file of an object store, of the version that was found, read in ranges as it is used.

        Where it changes meanwhile, reading raises `StorageError`.
        """
        from batch_ser.storage.object_reader import ObjectReader

        bucket, key = self._open(address)
        return cast("BinaryIO", ObjectReader(bucket, key, found))

    def _open(self, address: str) -> "tuple[Bucket, str]":
        from batch_ser.storage.object_store import Bucket  # obstore takes a while to load

        if is_web(address):
            return Bucket(address), ""
        place, key = split_address(address)
        with self._lock:
            if place not in self._buckets:
                self._buckets[place] = Bucket(place)
            return self._buckets[place], key
