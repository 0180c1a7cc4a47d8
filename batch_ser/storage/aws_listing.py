"""Listings of S3 by boto3, of keys that obstore cannot read; errors become those of `Folder`.

It is imported only where boto3 is needed, which is an extra (`batch-ser[aws]`). Settings come from
the variables that obstore reads.
"""

import os
from collections.abc import Iterator
from typing import Any

import boto3
from botocore import UNSIGNED, exceptions
from botocore.config import Config

from batch_ser.storage.aws_credentials import ENDPOINTS, REGIONS, credentials, first_of, is_set
from batch_ser.storage.aws_role import Role
from batch_ser.storage.folder import StorageError, StoredFile
from batch_ser.storage.object_errors import (
    BROKEN,
    NO_ANSWER,
    NO_CONNECTION,
    NO_CREDENTIALS,
    ODD_KEY,
    UNKNOWN,
    UNTRUSTED,
    no_connection,
    refusal,
)

CONNECT_S, READ_S = 10, 30
ATTEMPTS = 4  # at each page, with growing waits: two minutes of silence at most
KINDS: tuple[tuple[Any, str], ...] = (
    (exceptions.SSLError, UNTRUSTED),
    ((exceptions.ConnectTimeoutError, exceptions.ReadTimeoutError), NO_ANSWER),
    ((exceptions.EndpointConnectionError, exceptions.ProxyConnectionError), NO_CONNECTION),
    (exceptions.HTTPClientError, BROKEN),
    (
        (
            exceptions.NoCredentialsError,
            exceptions.PartialCredentialsError,
            exceptions.CredentialRetrievalError,
            exceptions.TokenRetrievalError,
            exceptions.UnauthorizedSSOTokenError,
            exceptions.ProfileNotFound,
            exceptions.InvalidConfigError,
        ),
        NO_CREDENTIALS,
    ),
)


def list_objects(place: str, bucket: str, prefix: str, after: str) -> Iterator[StoredFile]:
    """The objects of a bucket below a prefix whose keys follow `after`, by key.

    Raises:
        FileNotFoundError, PermissionError, StorageError: as of `Folder`.
    """
    try:
        pages = _client().get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=bucket, Prefix=prefix, StartAfter=after):
            yield from map(_stored, page.get("Contents", ()))
    except (exceptions.ClientError, exceptions.BotoCoreError, ValueError) as error:
        raise _translation(error, place) from None  # its text may hold a secret


def _client() -> Any:
    """boto3's client, with the settings of the environment that obstore takes and it does not."""
    session = boto3.Session()
    endpoint = first_of(ENDPOINTS)
    options: dict[str, Any] = {
        "connect_timeout": CONNECT_S,
        "read_timeout": READ_S,
        "retries": {"total_max_attempts": ATTEMPTS, "mode": "standard"},
    }
    if endpoint and not is_set("AWS_VIRTUAL_HOSTED_STYLE_REQUEST"):
        options["s3"] = {"addressing_style": "path"}
    if proxy := os.environ.get("AWS_PROXY_URL"):
        options["proxies"] = {"http": proxy, "https": proxy}
    keys: dict[str, Any] = {}
    if is_set("AWS_SKIP_SIGNATURE"):
        options["signature_version"] = UNSIGNED
    elif isinstance(role := credentials(), Role):  # boto3 would look for it elsewhere
        found = role()
        keys = {f"aws_{name}": found[name] for name in ("access_key_id", "secret_access_key")}
        keys["aws_session_token"] = found["token"]
    return session.client(
        "s3",
        region_name=first_of(REGIONS) or session.region_name or "us-east-1",
        endpoint_url=endpoint or None,
        verify=_trusted(),
        config=Config(**options),
        **keys,
    )


def _trusted() -> str | bool | None:
    """The file of trusted certificates; None: those that come with boto3; False: any."""
    if is_set("AWS_ALLOW_INVALID_CERTIFICATES"):
        return False
    return first_of(("AWS_CA_BUNDLE", "SSL_CERT_FILE")) or None


def _translation(error: Exception, place: str) -> OSError:
    if isinstance(error, exceptions.ClientError):
        answer = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return refusal(place, answer, str(error.response.get("Error", {}).get("Code", "")))
    kind = next((words for kinds, words in KINDS if isinstance(error, kinds)), UNKNOWN)
    if kind == NO_CONNECTION:
        kind = no_connection(place)
    return StorageError(f"{place}: {kind}")


def _stored(found: Any) -> StoredFile:
    """An object as boto3 lists it; the slash that marks a folder goes, as with obstore."""
    key = found["Key"].rstrip("/")
    parts = key.split("/")
    odd = key.startswith("/") or not all(parts) or {".", ".."} & set(parts) or not key.isprintable()
    modified_us = round(found["LastModified"].timestamp() * 1_000_000)
    problem = f"the key {ODD_KEY}; rename the object" if odd else ""
    return StoredFile(key, found["Size"], modified_us, found.get("ETag", ""), problem)
