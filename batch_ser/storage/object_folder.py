"""A folder in an object store: the objects whose keys begin with its name.

What libraries read is copied to a folder on this machine, and what they write is made there.
"""

import errno
import threading
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path

from batch_ser.storage.folder import Folder, StoredFile
from batch_ser.storage.object_store import Bucket
from batch_ser.storage.scratch import scratch_folder


class ObjectFolder(Folder):
    """A folder by its address, such as `s3://bucket/results`."""

    def __init__(self, bucket: Bucket, prefix: str) -> None:
        """`prefix` is empty or has no slash at its end."""
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._scratch: Path | None = None
        self._copies: dict[str, tuple[str, Path]] = {}  # of objects, by name, with their version
        self._numbers = count()  # of copies: objects in several folders may have one name
        self._lock = threading.Lock()  # of the scratch folder: `local` is called by threads
        self.address = f"{bucket.address}/{prefix}"

    def entries(self, below: str = "") -> Iterator[StoredFile]:
        below = f"{below}/" if below else ""
        for found in self._bucket.list(self._prefix + below):
            yield found._replace(name=found.name.removeprefix(self._prefix))

    def find(self, name: str) -> StoredFile | None:
        found = self._bucket.find(self._prefix + name)
        return found and found._replace(name=name)

    def read(self, name: str) -> bytes:
        return self._bucket.read(self._prefix + name)

    def write(self, name: str, data: bytes, scratch: str | None = None) -> None:  # noqa: ARG002
        self._bucket.write(self._prefix + name, data)

    def replace(self, name: str, data: bytes, version: str | None) -> str:
        return self._bucket.replace(self._prefix + name, data, version)

    def new_tables(self, below: str) -> Path:
        folder = self._scratch_folder() / below
        folder.mkdir(parents=True)
        return folder

    def put_tables(self, made: Path, below: str, names: Iterable[str]) -> None:
        for name in names:
            self._bucket.upload(f"{self._prefix}{below}/{name}", made / name)
            (made / name).unlink()

    def local(self, name: str) -> Path:
        found = self.find(name)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "not found", self.place(name))
        version, path = self._copies.get(name, ("", Path()))
        if version != found.version or not version:
            path.unlink(missing_ok=True) if version else None
            folder = self._scratch_folder() / str(next(self._numbers))
            folder.mkdir()
            path = folder / Path(name).name  # which may state what it is
            fetched = self._bucket.fetch(self._prefix + name, path)
            self._copies[name] = fetched.version, path
        return path

    def move(self, name: str, to: str) -> None:
        found = self._bucket.find(self._prefix + name)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, "not found", self.place(name))
        self._bucket.copy(self._prefix + name, self._prefix + to, found.size_bytes)
        self._bucket.remove([self._prefix + name])

    def settle(self, below: Iterable[str]) -> None:
        """Nothing is left to wait for: what a store has answered is kept."""

    def remove(self, *names: str) -> None:
        self._bucket.remove([self._prefix + name for name in names])

    def remove_empty(self, below: str) -> None:
        """There are none."""

    def _scratch_folder(self) -> Path:
        with self._lock:
            if self._scratch is None:
                self._scratch = scratch_folder(self)
            return self._scratch
