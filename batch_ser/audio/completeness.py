"""Whether a file is as long as its container states: decoders read what is there without a message.

WAV, AVI, CAF, VOC, MP4 and Matroska files are sequences of chunks that state their lengths.
"""

import math
import os
import re
from collections.abc import Callable, Iterator
from typing import BinaryIO

from batch_ser.audio.ogg_pages import LAST, pages

BEYOND_THE_END = 1 << 62  # of any file: the end of a chunk that is not complete
NEVER_WRITTEN = 0x7FFFFFF0  # placeholders of recorders that never wrote a length are larger
HEAD_BYTES = 8
NIST_FIELDS = (b"sample_count", b"sample_n_bytes", b"channel_count")
MAX_CHUNKS = 10_000  # more of them prove nothing


def is_complete(path: str) -> bool:
    """Whether the last chunk that begins in a file ends with it, and no second file follows."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(12)
        for matches, chunk_ends in LAYOUTS:
            if matches(head):
                return not any(end > size for end in chunk_ends(file))
    return True


def _wav(file: BinaryIO) -> Iterator[int]:
    """The end of a WAV file; one that another file follows is not complete."""
    file.seek(4)
    end = 8 + int.from_bytes(file.read(4), "little")
    file.seek(end)
    if file.read(4) == b"RIFF":
        yield BEYOND_THE_END
    if end < NEVER_WRITTEN:
        yield end - HEAD_BYTES  # some count the first chunk's head twice


def _avi(file: BinaryIO) -> Iterator[int]:
    """After a gigabyte, AVI goes on in a second RIFF."""

    def length(head: bytes) -> int:
        return 8 + int.from_bytes(head[4:], "little") if head[:1] == b"R" else 0

    return _chunk_ends(file, 0, 8, length)


def _nist(file: BinaryIO) -> Iterator[int]:
    """The end of an uncompressed NIST SPHERE file."""
    file.seek(0)
    head = file.read(1024)
    numbers = [re.search(name + rb" -i (\d+)", head) for name in NIST_FIELDS]
    if all(numbers) and b"shorten" not in head:
        yield 1024 + math.prod(int(number[1]) for number in numbers if number)


def _ogg(file: BinaryIO) -> Iterator[int]:
    flags = 0
    for page in pages(file.name, 0):
        flags = page.flags
    if not flags & LAST:
        yield BEYOND_THE_END


def _caf(file: BinaryIO) -> Iterator[int]:
    return _chunk_ends(file, 8, 12, lambda head: 12 + int.from_bytes(head[4:], "big", signed=True))


def _voc(file: BinaryIO) -> Iterator[int]:
    file.seek(20)
    start = int.from_bytes(file.read(2), "little")
    return _chunk_ends(
        file, start, 4, lambda head: head[0] and 4 + int.from_bytes(head[1:], "little")
    )


def _mp4(file: BinaryIO) -> Iterator[int]:
    def length(head: bytes) -> int:
        short = int.from_bytes(head[:4], "big")
        return int.from_bytes(head[8:], "big") if short == 1 else short

    return _chunk_ends(file, 0, 16, length)


def _matroska(file: BinaryIO) -> Iterator[int]:
    def length(head: bytes) -> int:
        width = 9 - head[4].bit_length()  # of the length, after four bytes of identifier
        value = int.from_bytes(head[4 : 4 + width], "big") & ((1 << 7 * width) - 1)
        return 0 if value == (1 << 7 * width) - 1 else 4 + width + value

    return _chunk_ends(file, 0, 12, length)


def _chunk_ends(
    file: BinaryIO, start: int, head_bytes: int, length: Callable[[bytes], int]
) -> Iterator[int]:
    """Where each chunk ends, until one whose length is not stated (0 or less)."""
    for _ in range(MAX_CHUNKS):
        file.seek(start)
        head = file.read(head_bytes)
        stated = length(head) if len(head) == head_bytes else 0
        if stated <= 0:
            return
        start += stated
        yield start


LAYOUTS: tuple[tuple[Callable[[bytes], bool], Callable[[BinaryIO], Iterator[int]]], ...] = (
    (lambda head: head.startswith(b"RIFF") and head[8:] == b"WAVE", _wav),
    (lambda head: head.startswith(b"RIFF") and head[8:] == b"AVI ", _avi),
    (lambda head: head.startswith(b"NIST_1A"), _nist),
    (lambda head: head.startswith(b"OggS"), _ogg),
    (lambda head: head.startswith(b"caff"), _caf),
    (lambda head: head.startswith(b"Creative Voi"), _voc),
    (lambda head: head[4:8] == b"ftyp", _mp4),
    (lambda head: head.startswith(b"\x1aE\xdf\xa3"), _matroska),
)
