"""An address or a path to the folder that it names."""

import os
from pathlib import Path

from batch_ser.addresses import public_address, scheme_of
from batch_ser.errors import UsageError
from batch_ser.storage.folder import Folder
from batch_ser.storage.local import LocalFolder

STORES = ("s3", "s3a", "gs", "az", "azure", "abfs")
WEB = ("http", "https")


def is_store(text: str) -> bool:
    """Whether a text is the address of something in an object store."""
    return scheme_of(text) in STORES


def is_web(text: str) -> bool:
    """Whether a text is the address of a file of an HTTP server."""
    return scheme_of(text) in WEB


def split_address(address: str) -> tuple[str, str]:
    """An address of an object store as that of its bucket, and the key, without outer slashes.

    Raises:
        UsageError: no bucket is named, or it is another kind of address.
    """
    scheme = scheme_of(address)
    if scheme not in STORES:
        expected = ", ".join(f"{each}://" for each in STORES)
        raise UsageError(f"{public_address(address)}: expected a path, or one of {expected}")
    _, slashes, rest = address.partition("://")
    if not slashes:
        raise UsageError(f"{address}: found one slash, expected {scheme}://BUCKET/...")
    bucket, _, key = rest.lstrip("/").partition("/")
    if not bucket:
        raise UsageError(f"{address}: found no name of a bucket, expected {scheme}://BUCKET/...")
    return f"{scheme}://{bucket}", key.strip("/")


def open_folder(address: str | os.PathLike[str]) -> Folder:
    """The folder that a path or an address names; it need not exist, and nothing is requested.

    Raises:
        UsageError: the address cannot be used.
    """
    text = os.fspath(address)
    if not scheme_of(text):
        return LocalFolder(Path(text))
    bucket, key = split_address(text)
    from batch_ser.storage.object_folder import ObjectFolder  # obstore takes a while to load
    from batch_ser.storage.object_store import Bucket

    return ObjectFolder(Bucket(bucket), key)
