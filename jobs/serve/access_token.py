"""The token that requests carry: read once, compared in constant time, never in an address."""

import base64
import binascii
import hmac
from collections.abc import Mapping
from pathlib import Path

from batch_ser.errors import UsageError

VARIABLE = "BATCH_SER_TOKEN"
SHORTEST, LONGEST = 16, 1_000  # characters


def read_token(path: str | None, environment: Mapping[str, str]) -> str | None:
    """The token in a file, or in the variable BATCH_SER_TOKEN; None without either.

    Raises:
        UsageError: the file cannot be read, or it is no token.
    """
    place = f"--token-file {path}" if path is not None else VARIABLE
    try:
        text = Path(path).read_text() if path is not None else environment.get(VARIABLE)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file"
        raise UsageError(f"{place}: {reason}; expected a file with the token") from error
    if text is None:
        return None
    token = text.strip()
    printable = token.isascii() and token.isprintable() and not set(token) & set(" :")
    if not printable or not SHORTEST <= len(token) <= LONGEST:
        raise UsageError(
            f"{place}: expected {SHORTEST} to {LONGEST:,} printable characters without spaces and "
            "colons, such as `openssl rand -hex 32` prints"
        )
    return token


def is_authorised(header: bytes | None, token: str) -> bool:
    """Whether an Authorization header carries the token: as Bearer, or as a password for Basic.

    Browsers ask for a password and send it by Basic; the name beside it may be anything.
    """
    scheme, _, value = (header or b"").partition(b" ")
    found = b""
    if scheme.lower() == b"bearer":
        found = value.strip()
    elif scheme.lower() == b"basic":
        try:
            found = base64.b64decode(value, validate=True).partition(b":")[2]
        except binascii.Error:
            found = b""
    return hmac.compare_digest(found, token.encode())
