"""Names as the tables and messages hold them."""

import os
from urllib.parse import urlsplit

ESCAPED = {code: f"%{code - 0xDC00:02X}" for code in range(0xDC80, 0xDD00)}


def printable(name: str) -> str:
    """A name as valid Unicode: bytes that are not UTF-8 as %XX."""
    if name.isascii():
        return name
    return os.fsencode(name).decode("utf-8", errors="surrogateescape").translate(ESCAPED)


def public_address(uri: str) -> str:
    """A URI without user information and query, which may hold secrets."""
    try:
        parts = urlsplit(uri)
        return printable(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}")
    except ValueError:
        return f"{printable(uri.partition('://')[0])}://(unreadable)"
