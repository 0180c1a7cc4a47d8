"""The pages of an Ogg file: where its links begin, and whether a page is damaged.

Decoders leave a damaged page out without a message. Its checksum shows it (RFC 3533).
"""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

PAGE = b"OggS"
PAGE_HEADER = 27  # bytes, before the table of its segments
FIRST, LAST = 2, 4  # flags of a stream's first and last page
READ_BYTES = 1 << 16  # at a time, in search of a page
REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
MAX_PAGE_GRANULES = 60 * 48_000  # a damaged page that claims more is not counted


class Page(NamedTuple):
    position: int
    flags: int
    granule: int  # samples up to its end; -1 where none ends in it
    stream: bytes
    number: int
    intact: bool


@dataclass
class PageSummary:
    """All pages of a file."""

    streams: int = 0  # beside or behind one another
    damaged: bool = False
    start_lost: bool = False  # before the first page with sound
    last: int = 0  # granule of the last page


def summarise_pages(path: str) -> PageSummary:
    """Read all pages and their checksums."""
    found = PageSummary()
    following: dict[bytes, int] = {}  # numbers of pages, of streams whose sound has begun
    for page in pages(path, 0, checked=True):
        if not page.intact:
            found.damaged = True
            found.start_lost |= not following
            if found.last < page.granule <= found.last + MAX_PAGE_GRANULES:
                found.last = page.granule
            continue
        if page.flags & FIRST:
            found.streams += 1
            following.pop(page.stream, None)
        found.damaged |= following.get(page.stream, page.number) != page.number
        if page.granule > 0 or page.stream in following:
            following[page.stream] = page.number + 1
        found.last = max(found.last, page.granule)
    return found


class Link(NamedTuple):
    """One link of a chain: the streams that begin together."""

    next_start: int | None  # position of the link behind it, if there is one
    has_last_page: bool


def read_link(path: str, start: int) -> Link:
    """The link that begins at a position.

    Streams of one link begin together, so a first page behind others that are none begins a link.
    """
    begun, flags = False, 0
    for page in pages(path, start):
        if page.flags & FIRST and begun:
            return Link(page.position, bool(flags & LAST))
        begun |= not page.flags & FIRST
        flags = page.flags
    return Link(None, bool(flags & LAST))


def pages(path: str, start: int, *, checked: bool = False) -> Iterator[Page]:
    """Each page that is whole; what is between pages is passed over.

    `intact` is only computed if `checked`, and True otherwise.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        position = start
        while position + PAGE_HEADER <= size:
            file.seek(position)
            head = file.read(PAGE_HEADER + 255)
            if not head.startswith(PAGE):
                position = _next_page(file, position + 1)
                continue
            segments = head[26]
            length = PAGE_HEADER + segments + sum(head[PAGE_HEADER : PAGE_HEADER + segments])
            if position + length > size:
                position = _next_page(file, position + len(PAGE))
                continue
            intact = True
            if checked:
                file.seek(position)
                intact = _intact(file.read(length))
            granule = int.from_bytes(head[6:14], "little", signed=True)
            number = int.from_bytes(head[18:22], "little")
            yield Page(position, head[5], granule, head[14:18], number, intact)
            position += length if intact else len(PAGE)


def _intact(page: bytes) -> bool:
    """Ogg's checksum is zlib's, of reversed bits and without its two inversions."""
    without = page[:22] + bytes(4) + page[26:]
    checksum = zlib.crc32(without.translate(REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return checksum.to_bytes(4, "big").translate(REVERSED_BITS) == page[22:26]


def _next_page(file: BinaryIO, position: int) -> int:
    """The next position that may be a page, or the end of the file."""
    while True:
        file.seek(position)
        chunk = file.read(READ_BYTES)
        at = chunk.find(PAGE)
        if at >= 0:
            return position + at
        if len(chunk) < READ_BYTES:
            return position + len(chunk)
        position += len(chunk) - len(PAGE)
