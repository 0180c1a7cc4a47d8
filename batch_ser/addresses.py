"""Addresses such as `s3://bucket/calls`, and the secrets that they may hold."""

import os
import re
from collections.abc import Iterable

from batch_ser.errors import UsageError

SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]+):/+")  # `s3:/bucket` is a mistyped one
QUERY = re.compile(r"[?#]")
PASSWORDS = (
    re.compile(r"://[^/?#]*@"),  # user@ or user:password@ of a host
    re.compile(r":/+[^/?#]*:[^?#]*@"),  # the same, mistyped: a slash too few, or in the password
    re.compile(r"^[^/:@]+:[^/@]+@[\w.-]+(:|/|$)"),  # user:password@host without a scheme
)
SIGNATURE = re.compile(
    r"[?&;][\w.%-]*(sig|token|key|secret|passw|pwd|credential|auth|x-amz|x-goog)[\w.%-]*=",
    re.IGNORECASE,
)
ADDRESS_WITH_QUERY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/[^?]*\?[\w.%-]+=")


def scheme_of(text: str) -> str:
    """The scheme of an address, in lower case; empty for a path."""
    found = SCHEME.match(text)
    return found[1].lower() if found else ""


def public_address(uri: str) -> str:
    """An address without user information, query and fragment, which may hold secrets."""
    scheme, place = scheme_of(uri), QUERY.split(SCHEME.sub("", uri), maxsplit=1)[0]
    host, slash, path = place.partition("/")
    public = f"{host.rpartition('@')[2]}{slash}{path}"
    return f"{scheme}://{public}" if scheme else f"{public}?..."  # no path, and not like one


def holds_secret(text: str) -> bool:
    """Whether a text holds user information, a signature, or a query that may be one."""
    if "@" in text and any(pattern.search(text) for pattern in PASSWORDS):
        return True
    return "=" in text and bool(SIGNATURE.search(text) or ADDRESS_WITH_QUERY.search(text))


def refuse_secrets(arguments: Iterable[tuple[str, str]]) -> None:
    """Refuse secrets in arguments, each with the name of its option, without repeating them.

    What names a file that exists is no address.

    Raises:
        UsageError: an argument holds one.
    """
    for name, text in arguments:
        path = text.partition(":")[2]  # of KIND:PATH
        if holds_secret(text) and not (os.path.lexists(text) or os.path.lexists(path)):
            raise UsageError(
                f"{name}: found a user name, a password or a signature (not repeated here); take "
                "it out: arguments are kept in run.json, and other users can see them. Credentials "
                "come from the environment or a profile; signed addresses may stand in a manifest"
            )
