"""Names as the tables and messages hold them."""

import os
import re

ESCAPED = {code: f"%{code - 0xDC00:02X}" for code in range(0xDC80, 0xDD00)}
LIKE_ESCAPED = re.compile("%(?=25|[89A-F][0-9A-F])")  # what a reader would take for one of ours


def printable(text: str) -> str:
    """A text as valid Unicode, for messages: bytes that are not UTF-8 as %XX."""
    if text.isascii():
        return text
    return os.fsencode(text).decode("utf-8", errors="surrogateescape").translate(ESCAPED)


def table_name(path: str) -> str:
    """A path's name in the tables, unlike that of any other path.

    Bytes that are not UTF-8 are %XX; so a `%` that would read as one of these, or as the next, is
    %25.
    """
    return printable(LIKE_ESCAPED.sub("%25", path) if "%" in path else path)
