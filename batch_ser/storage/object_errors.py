"""Errors of obstore as those of `Folder`: their own text may hold a secret, and is left out."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions

from batch_ser.storage.folder import StorageError

ODD_KEY = "has an empty part (//), `.`, `..` or a control character"
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
        (
            "credential|metadata",
            "no credentials are found (environment, profile or the machine's role)",
        ),
    )
)
UNKNOWN = "the store does not answer as expected"
CODE = re.compile(r"<Code>(\w+)</Code>")


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Inside, errors of obstore become `FileNotFoundError`, `PermissionError` and `StorageError`.

    Those of conditions that do not hold stay as they are.
    """
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
    text = str(error)
    return next((words for pattern, words in KINDS if pattern.search(text)), UNKNOWN)
