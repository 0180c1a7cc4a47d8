"""Errors of obstore as those of `Folder`: their own text may hold a secret, and is left out."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions

from batch_ser.storage.folder import StorageError

ODD_KEY = "has an empty part (//), `.`, `..` or a control character"
NO_CREDENTIALS = "no credentials are found (environment, profile or the machine's role)"
METADATA = re.compile(r"/latest/(api/token|meta-data)")  # of a machine that reports its role
NO_BUCKET = "NoSuchBucket"
DENIED = ("401", "403")
STATUS = re.compile(r"status code: (\d{3}[^:\n]*)")
KINDS = tuple(
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        ("BadScheme", "the endpoint is not encrypted (http://), which AWS_ALLOW_HTTP=true allows"),
        (r"\bkind: Timeout", "no answer in time"),
        ("dns error", "the name of the host is not known"),
        (r"\bkind: Connect", "no connection"),
        (r"\bkind: (Interrupted|Decode|Body)", "the connection broke"),
        ("InvalidPath|parse path", f"the key {ODD_KEY}"),
        ("credential|metadata", NO_CREDENTIALS),
    )
)
UNKNOWN = "the store does not answer as expected"
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


def _translation(error: Exception, place: str) -> OSError:
    reason = _reason(error)
    if NO_BUCKET in reason:
        return MissingBucket(errno.ENOENT, "there is no such bucket; make it first", place)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, reason or "not found", place)
    kind = _kind(error)
    denied = exceptions.PermissionDeniedError | exceptions.UnauthenticatedError
    if isinstance(error, denied) or kind.startswith(DENIED):  # of a listing it is another error
        return PermissionError(errno.EACCES, kind, place)
    return StorageError(f"{place}: {kind}")


def _reason(error: Exception) -> str:
    """What the server answered, such as `403 Forbidden, AccessDenied`; empty if nothing."""
    text = str(error)
    found = [match[1].strip() for match in (STATUS.search(text), CODE.search(text)) if match]
    return ", ".join(found)


def _kind(error: Exception) -> str:
    """Why a request failed, in words that hold no address."""
    text = str(error)
    if METADATA.search(text):
        return NO_CREDENTIALS
    if answer := _reason(error):
        return answer
    return next((words for pattern, words in KINDS if pattern.search(text)), UNKNOWN)
