"""Errors of obstore as those of `Folder`: their own text may hold a secret, and is left out."""

import errno
import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions

from batch_ser.addresses import public_address, scheme_of
from batch_ser.storage.aws_credentials import ENDPOINTS, first_of
from batch_ser.storage.folder import StorageError

ODD_KEY = "has an empty part (//), `.`, `..` or a control character"
NO_CREDENTIALS = "no credentials are found (environment, profile or the machine's role)"
METADATA = re.compile("/computeMetadata/|/metadata/identity/")  # of machines with a role
OWN = re.compile(r"AWS: found no credentials[^\n]*")  # what `aws_role` reported, by way of obstore
NO_ANSWER = "no answer in time"
NO_CONNECTION = "no connection"
BROKEN = "the connection broke"
UNTRUSTED = (
    "the certificate of the host is not trusted; SSL_CERT_FILE names a file of those that are"
)
UNENCRYPTED = (
    "the endpoint is not encrypted (http://), which AWS_ALLOW_HTTP=true allows (of the other "
    "stores, GOOGLE_ALLOW_HTTP and AZURE_ALLOW_HTTP)"
)
UNKNOWN = "the store does not answer as expected"
NO_BUCKET = "NoSuchBucket"
DENIED = ("401", "403")
MISSING = "404"
STATUS = re.compile(r"status code: (\d{3}[^:\n]*)")
KINDS = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        ("BadScheme", UNENCRYPTED),
        (r"\bkind: Timeout", NO_ANSWER),
        ("InvalidCertificate", UNTRUSTED),
        ("dns error", "the name of the host is not known"),
        (r"\bkind: Connect", NO_CONNECTION),
        (r"\bkind: (Interrupted|Decode|Body)", BROKEN),
        ("InvalidPath|parse path", f"the key {ODD_KEY}"),
        ("credential|metadata", NO_CREDENTIALS),
    )
)
CODE = re.compile(r"<Code>(\w+)</Code>")


class MissingBucket(StorageError, FileNotFoundError):
    """There is no such bucket."""

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Inside, errors of obstore become `FileNotFoundError`, `PermissionError` and `StorageError`.

    Those of conditions that do not hold stay as they are.
    """
    try:
        yield
    except (exceptions.AlreadyExistsError, exceptions.PreconditionError, NotImplementedError):
        raise
    except (exceptions.BaseError, ValueError, OSError) as error:
        if isinstance(error, StorageError):
            raise
        raise _translation(error, place) from None


def refusal(place: str, status: int, code: str) -> OSError:
    """The error for what a server answers, by its status and the code of S3; 0, "": unknown."""
    known = [code] if re.fullmatch(r"[A-Za-z]\w*", code) else []
    words = f"{status} {http.client.responses.get(status, '')}".strip()
    return _refusal(place, ", ".join([words, *known]))


def _refusal(place: str, reason: str) -> OSError:
    if NO_BUCKET in reason:
        return MissingBucket(
            errno.ENOENT, "there is no such bucket; check its name, or make it first", place
        )
    if reason.startswith(MISSING):
        return FileNotFoundError(errno.ENOENT, reason, place)
    if reason.startswith(DENIED):
        return PermissionError(errno.EACCES, reason, place)
    return StorageError(f"{place}: {reason}")


def _translation(error: Exception, place: str) -> OSError:
    text = str(error)
    if own := OWN.search(text):
        return StorageError(own[0])
    if METADATA.search(text):  # its answer is not that of the store
        return StorageError(f"{place}: {NO_CREDENTIALS}")
    if reason := _reason(text):
        return _refusal(place, reason)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, "not found", place)
    kind = next((words for pattern, words in KINDS if pattern.search(text)), UNKNOWN)
    if kind == NO_CONNECTION:
        kind = no_connection(place)
    if isinstance(error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError):
        return PermissionError(errno.EACCES, kind, place)
    return StorageError(f"{place}: {kind}")


def no_connection(place: str) -> str:
    """Words for a server that is not there, with its address where a variable states it."""
    endpoint = first_of(ENDPOINTS) if scheme_of(place).startswith("s3") else ""
    to = f" to {public_address(endpoint)} (AWS_ENDPOINT_URL)" if endpoint else ""
    return f"{NO_CONNECTION}{to}; check the address and the network"


def _reason(text: str) -> str:
    """What the server answered, such as `403 Forbidden, AccessDenied`; empty if nothing."""
    found = [match[1].strip() for match in (STATUS.search(text), CODE.search(text)) if match]
    return ", ".join(found)
