"""Objects in object stores, through obstore, which only modules named `object_...` know.

S3, Google Cloud Storage and Azure by `s3://bucket/...`, `gs://bucket/...`, `az://container/...`,
and single files of HTTP servers. Credentials and endpoints come from the environment, from AWS
profiles or from the machine's role; never from an argument. Requests are repeated, with growing
waits.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import HTTPStore

from batch_ser.addresses import public_address, scheme_of
from batch_ser.errors import UsageError
from batch_ser.storage.folder import Changed, StorageError, StoredFile
from batch_ser.storage.object_credentials import client_options, open_bucket
from batch_ser.storage.object_errors import ODD_KEY, translated
from batch_ser.storage.open_folder import WEB

ATTEMPTS = 3  # at a whole object; within each, broken connections go on where they were
MIN_BYTES_PER_S = 1_000  # a slower one is given up, once it had this long:
PATIENCE_S = 30.0
IN_VAIN_S = 60.0  # after which no new attempt begins: a silent object ends with its first
COPY_BYTES = 5_000_000_000  # stores copy larger objects only in parts
PART_BYTES = 8_000_000  # of an upload, of which S3 takes 10,000
MAX_PARTS = 9_000
CLIENT = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "24h"}
WRITING = {"read_timeout": "15min"}  # no answer comes while a body is sent, or an object copied
RETRY: Any = {  # 5 to 20 s in all; of a server that is silent, 90 to 120 s
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=90),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=10),
        "base": 3,
    },
}


ODD = object()  # a page with a key that obstore cannot read


class Bucket:
    """One bucket, container or web file; objects by their keys."""

    def __init__(self, address: str) -> None:
        """Open what an address is in; nothing is requested yet.

        Raises:
            UsageError: the address cannot be used, or the AWS profile.
        """
        scheme, rest = scheme_of(address), re.sub(r"^\s*[^:]+:/+", "", address)
        self.address = address
        self._is_web = scheme in WEB
        if self._is_web:  # a store of a single file: its path stays as it is, with its query
            client: Any = CLIENT | {"allow_http": scheme == "http"}
            try:
                self.store: Any = HTTPStore.from_url(
                    address.strip(), client_options=client, retry_config=RETRY
                )
            except (exceptions.BaseError, ValueError) as error:
                raise UsageError("no address of the web") from error
            return
        name = rest.partition("/")[0]
        self.address = f"{scheme}://{name}"
        self._opened = scheme, name
        self.store = _open(scheme, name, CLIENT)

    @cached_property
    def _writing(self) -> Any:
        """The same bucket, with more patience."""
        return _open(*self._opened, CLIENT | WRITING)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """The objects whose keys are below a prefix that ends with `/` or is empty, by key.

        An object that marks the prefix itself as a folder is none of them.
        They are requested a thousand at a time, as they are used.
        """
        place, last = f"{self.address}/{prefix}", ""
        pages = iter(obstore.list(self.store, prefix.rstrip("/") or None, chunk_size=1_000))
        while True:
            page: Any = ODD
            with translated(place), suppress(exceptions.InvalidPathError):
                page = next(pages, None)
            if page is ODD:
                yield from self._list_any(prefix, last)
                return
            if page is None:
                return
            yield from (each for each in map(_stored, page) if each.name.startswith(prefix))
            last = page[-1]["path"]

    def _list_any(self, prefix: str, after: str) -> Iterator[StoredFile]:
        """The rest of a listing in which a key has a form that obstore cannot read."""
        place = f"{self.address}/{prefix}"
        if scheme_of(self.address) not in ("s3", "s3a"):
            raise StorageError(f"{place}: a key {ODD_KEY}; rename it")
        try:
            from batch_ser.storage.aws_listing import list_objects
        except ImportError:
            raise StorageError(
                f"{place}: a key {ODD_KEY}; rename it, or pip install 'batch-ser[aws]', with which "
                "it gets a row and the others are scored"
            ) from None
        listed = list_objects(place, self.address.partition("://")[2], prefix, after)
        yield from (each for each in listed if each.name.startswith(prefix))

    def find(self, key: str) -> StoredFile | None:
        """What the store reports of an object; None if there is none."""
        try:
            with translated(self._place(key)):
                if self._is_web:
                    return self._find_on_web(key)
                return _stored(obstore.head(self.store, key))
        except FileNotFoundError:
            return None

    def _find_on_web(self, key: str) -> StoredFile:
        """By HEAD, or where that is not allowed, as by most signed addresses, by GET."""
        try:
            return _stored(obstore.head(self.store, key))
        except FileNotFoundError:
            raise
        except exceptions.BaseError:
            return _stored(obstore.get(self.store, key).meta)  # the body is not read

    def read(self, key: str) -> bytes:
        """The content of a small object."""
        with translated(self._place(key)):
            return bytes(obstore.get(self.store, key).bytes())

    def write(self, key: str, data: bytes) -> None:
        """Make or replace a small object, in one request."""
        with translated(self._place(key)):
            obstore.put(self._writing, key, data, use_multipart=False)

    def replace(self, key: str, data: bytes, version: str | None) -> str:
        """Make a small object that does not exist, or replace this version of it.

        Returns its new version.

        Raises:
            Changed: it is another one; never by a store without conditional requests.
        """
        mode: Any = "create"
        if version is not None:
            e_tag, _, number = version.partition(" ")
            mode = {"e_tag": e_tag} | ({"version": number} if number else {})
        try:
            with translated(self._place(key)):
                return _version(obstore.put(self._writing, key, data, mode=mode))
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise Changed(key) from error
        except NotImplementedError:
            self.write(key, data)
            found = self.find(key)
            return found.version if found else ""

    def upload(self, key: str, path: Path) -> None:
        """Make or replace an object from a file; it appears when all of it is there."""
        part_bytes = max(PART_BYTES, path.stat().st_size // MAX_PARTS)
        with translated(self._place(key)):
            obstore.put(self._writing, key, path, chunk_size=part_bytes)

    def copy(self, key: str, to: str, size_bytes: int) -> None:
        """Make or replace an object from another one, within the store where it can."""
        with translated(self._place(key)):
            if size_bytes <= COPY_BYTES:
                obstore.copy(self._writing, key, to)
            else:
                self._copy_large(key, to, max(PART_BYTES, size_bytes // MAX_PARTS))

    def _copy_large(self, key: str, to: str, part_bytes: int) -> None:
        """Copy an object by way of this machine; an error makes no object."""
        result = obstore.get(self.store, key)
        left = result.meta["size"]
        with obstore.open_writer(self._writing, to, buffer_size=part_bytes) as target:
            for chunk in result.stream(min_chunk_size=part_bytes):
                target.write(bytes(chunk))
                left -= len(chunk)
            if left:
                raise StorageError(f"{self._place(key)}: {left:,} bytes of it did not come")

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects, if they exist, many in a request where the store allows it."""
        if not keys:
            return
        with translated(self._place(keys[0])):
            try:
                obstore.delete(self.store, keys)
            except FileNotFoundError:  # of some stores, at the first that does not exist
                for key in keys if len(keys) > 1 else ():
                    self.remove([key])

    def fetch(self, key: str, to: Path) -> StoredFile:
        """Copy an object to a file, whole and of one version, which is returned.

        Raises:
            FileNotFoundError, PermissionError: there is none, or it may not be read.
            StorageError: it cannot be read, or comes slower than 1 kB/s.
            OSError: the file cannot be written.
        """
        in_vain_s = 0.0
        for attempt in range(1, ATTEMPTS + 1):
            pace = Pace()
            try:
                return self._fetch(key, to, pace)
            except StorageError:
                in_vain_s += pace.in_vain_s()
                if attempt == ATTEMPTS or not pace.received or in_vain_s > IN_VAIN_S:
                    raise  # a request that brings nothing has been repeated already
        raise AssertionError

    def _fetch(self, key: str, to: Path, pace: "Pace") -> StoredFile:
        place = self._place(key)
        with translated(place):
            result = obstore.get(self.store, key)
            found = _stored(result.meta)
            chunks = iter(result.stream(min_chunk_size=1))
        with to.open("wb") as file:
            while True:
                with translated(place):
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                file.write(chunk)
                pace.received += len(chunk)
                if pace.in_vain_s() > PATIENCE_S:
                    raise TooSlow(f"{place}: {pace.received:,} bytes in {pace.elapsed_s():.0f} s")
        if pace.received != found.size_bytes:
            raise StorageError(
                f"{place}: {pace.received:,} bytes came, {found.size_bytes:,} were announced"
            )
        return found

    def _place(self, key: str) -> str:
        return f"{self.address}/{key}" if key else public_address(self.address)


class TooSlow(StorageError):
    """An object comes so slowly that it is given up."""


class Pace:
    """How fast an object comes, in one attempt at it."""

    def __init__(self) -> None:
        self.received = 0  # bytes
        self._started_s = time.monotonic()

    def elapsed_s(self) -> float:
        return time.monotonic() - self._started_s

    def in_vain_s(self) -> float:
        """The time beyond what the slowest store that is accepted would have taken."""
        return max(self.elapsed_s() - self.received / MIN_BYTES_PER_S, 0.0)


def _open(scheme: str, name: str, client: dict[str, str]) -> Any:
    return open_bucket(
        scheme, name, client_options=client_options(scheme, **client), retry_config=RETRY
    )


def _stored(meta: Any) -> StoredFile:
    modified_us = round(meta["last_modified"].timestamp() * 1_000_000)
    return StoredFile(meta["path"], meta["size"], modified_us, _version(meta))


def _version(meta: Any) -> str:
    """The ETag and the number of a version: stores compare one of them."""
    return f"{meta['e_tag'] or ''} {meta['version'] or ''}".rstrip()
