"""Object stores, through obstore: the only module that knows them.

S3, Google Cloud Storage and Azure by `s3://bucket/...`, `gs://bucket/...`, `az://container/...`,
and single files of HTTP servers. Credentials and endpoints come from the environment, from AWS
profiles or from the machine's role; never from an argument. Requests are repeated, with growing
waits.
"""

import errno
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import HTTPStore, S3Store, from_url

from batch_ser.addresses import public_address, scheme_of
from batch_ser.errors import UsageError
from batch_ser.storage.folder import Changed, StorageError, StoredFile
from batch_ser.storage.open_folder import WEB

BUCKETS = {"s3": "s3", "s3a": "s3", "gs": "gs", "az": "az", "azure": "az", "abfs": "az"}
ATTEMPTS = 3  # at a whole object; within each, broken connections go on where they were
MIN_BYTES_PER_S = 1_000  # a slower one is given up, once it had this long:
PATIENCE_S = 30.0
COPY_BYTES = 5_000_000_000  # stores copy larger objects only in parts
PART_BYTES = 8_000_000  # of an upload, of which S3 takes 10,000
MAX_PARTS = 9_000
CLIENT = {"connect_timeout": "10s", "read_timeout": "30s", "timeout": "24h"}
RETRY: Any = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=90),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=10),
        "base": 2,
    },
}
OTHER_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_SKIP_SIGNATURE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
STATUS = re.compile(r"status code: (\d{3}[^:\n]*)")
CODE = re.compile(r"<Code>(\w+)</Code>")


class Bucket:
    """One bucket, container or web file; objects by their keys."""

    def __init__(self, address: str) -> None:
        """Open what an address is in; nothing is requested yet.

        Raises:
            UsageError: the address cannot be used, or the AWS profile.
        """
        scheme, rest = scheme_of(address), re.sub(r"^\s*[^:]+:/+", "", address)
        self.address = address
        if scheme in WEB:  # a store of a single file: its path stays as it is, with its query
            client: Any = CLIENT | {"allow_http": scheme == "http"}
            self.store: Any = HTTPStore.from_url(
                address.strip(), client_options=client, retry_config=RETRY
            )
            return
        name = rest.partition("/")[0]
        self.address = f"{scheme}://{name}"
        self.store = _open_bucket(BUCKETS[scheme], name)

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """The objects whose keys are below a prefix that ends with `/` or is empty, by key.

        They are requested a thousand at a time, as they are used.
        """
        with _translated(f"{self.address}/{prefix}"):
            pages = iter(obstore.list(self.store, prefix.rstrip("/") or None, chunk_size=1_000))
        while True:
            with _translated(f"{self.address}/{prefix}"):
                page = next(pages, None)
            if page is None:
                return
            yield from map(_stored, page)

    def find(self, key: str) -> StoredFile | None:
        """What the store reports of an object; None if there is none."""
        try:
            with _translated(self._place(key)):
                return _stored(obstore.head(self.store, key))
        except FileNotFoundError:
            return None

    def read(self, key: str) -> bytes:
        """The content of a small object."""
        with _translated(self._place(key)):
            return bytes(obstore.get(self.store, key).bytes())

    def write(self, key: str, data: bytes) -> None:
        """Make or replace a small object, in one request."""
        with _translated(self._place(key)):
            obstore.put(self.store, key, data, use_multipart=False)

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
            with _translated(self._place(key)):
                return _version(obstore.put(self.store, key, data, mode=mode))
        except (exceptions.AlreadyExistsError, exceptions.PreconditionError) as error:
            raise Changed(key) from error
        except NotImplementedError:
            self.write(key, data)
            found = self.find(key)
            return found.version if found else ""

    def upload(self, key: str, path: Path) -> None:
        """Make or replace an object from a file; it appears when all of it is there."""
        size = path.stat().st_size
        with _translated(self._place(key)):
            part_bytes = max(PART_BYTES, size // MAX_PARTS)
            obstore.put(self.store, key, path, chunk_size=part_bytes)

    def copy(self, key: str, to: str, size_bytes: int) -> None:
        """Make or replace an object from another one, within the store where it can."""
        with _translated(self._place(key)):
            if size_bytes <= COPY_BYTES:
                obstore.copy(self.store, key, to)
                return
            content = obstore.get(self.store, key).stream(min_chunk_size=PART_BYTES)
            obstore.put(
                self.store, to, content, chunk_size=max(PART_BYTES, size_bytes // MAX_PARTS)
            )

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects, if they exist, many in a request where the store allows it."""
        if not keys:
            return
        with _translated(self._place(keys[0])):
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
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._fetch(key, to)
            except StorageError:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError

    def _fetch(self, key: str, to: Path) -> StoredFile:
        place, started, done = self._place(key), time.monotonic(), 0
        with _translated(place):
            result = obstore.get(self.store, key)
            found = _stored(result.meta)
            chunks = iter(result.stream(min_chunk_size=1))
        with to.open("wb") as file:
            while True:
                with _translated(place):
                    chunk = next(chunks, None)
                if chunk is None:
                    break
                file.write(chunk)
                done += len(chunk)
                waited_s = time.monotonic() - started - PATIENCE_S
                if done < waited_s * MIN_BYTES_PER_S:
                    raise TooSlow(f"{place}: {done:,} bytes in {waited_s + PATIENCE_S:.0f} s")
        if done != found.size_bytes:
            raise StorageError(f"{place}: {done:,} bytes came, {found.size_bytes:,} were announced")
        return found

    def _place(self, key: str) -> str:
        return f"{self.address}/{key}" if key else public_address(self.address)


class TooSlow(StorageError):
    """An object comes so slowly that it is given up."""


def _open_bucket(scheme: str, name: str) -> Any:
    options: dict[str, Any] = {"client_options": CLIENT, "retry_config": RETRY}
    if scheme != "s3":
        return from_url(f"{scheme}://{name}", **options)
    if _uses_profile():
        options["credential_provider"] = _profile()
    return S3Store(name, **options)


def _uses_profile() -> bool:
    """Whether AWS credentials are those of a profile: named, or in the files of one."""
    if os.environ.get("AWS_PROFILE"):
        return True
    if any(os.environ.get(each) for each in OTHER_CREDENTIALS):
        return False
    given = os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials")
    return Path(given).expanduser().is_file()


def _profile() -> Any:
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError as error:
        raise UsageError(
            "AWS: found a profile (AWS_PROFILE or a credentials file), which boto3 reads; expected "
            "it to be installed: pip install 'batch-ser[aws]', or give AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY in the environment"
        ) from error
    try:
        return Boto3CredentialProvider()
    except Exception as error:  # botocore has an error of its own for each mistake
        raise UsageError(f"AWS: the profile cannot be used: {error}") from error


def _stored(meta: Any) -> StoredFile:
    modified_us = round(meta["last_modified"].timestamp() * 1_000_000)
    return StoredFile(meta["path"], meta["size"], modified_us, _version(meta))


def _version(meta: Any) -> str:
    """The ETag and the number of a version: stores compare one of them."""
    return f"{meta['e_tag'] or ''} {meta['version'] or ''}".rstrip()


@contextmanager
def _translated(place: str) -> Iterator[None]:
    """Inside, errors of obstore become those of `Folder`; their own text may hold secrets."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, _reason(error) or "not found", place) from None
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
        text = _reason(error) or "access denied"
        raise PermissionError(errno.EACCES, text, place) from None
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError, NotImplementedError):
        raise
    except (exceptions.BaseError, ValueError, OSError) as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"{place}: {_reason(error) or _kind(error)}") from None


def _reason(error: Exception) -> str:
    """What the server answered, such as `403 Forbidden, AccessDenied`; empty if nothing."""
    text = str(error)
    found = [match[1].strip() for match in (STATUS.search(text), CODE.search(text)) if match]
    return ", ".join(found)


def _kind(error: Exception) -> str:
    """The kind of an error without an answer, in words that hold no address."""
    text = str(error).lower()
    if "timed out" in text or "timeout" in text:
        return "no answer in time"
    if "dns" in text or "connect" in text:
        return "no connection"
    if "body" in text or "incomplete" in text:
        return "the connection broke"
    if "path" in text:
        return "the key has an empty part, `.`, `..` or a control character"
    if "credential" in text or "metadata" in text:
        return "no credentials are found (environment, profile or the machine's role)"
    return "the store does not answer as expected"
