"""Segments that a manifest gives: its lines by file, checked, and small enough to be many.

A million lines lie in the driver's memory until their files are done: as text, a file's together,
of about 100 bytes a line. They travel to the workers so, too.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from batch_ser.audio import MIXED

TIMES = ("start_s", "end_s")  # a manifest with these columns gives segments
OWN_COLUMNS = ("file", *TIMES, "channel")
MOST_CHANNEL = 127  # of an int8
MOST_S = 1e9  # thirty years; frames of longer ones would not be exact


class Asked(NamedTuple):
    """A segment that is asked for; without an end it is its whole recording's."""

    start_s: float
    end_s: float | None
    channel: int | None  # None: each that --channels chooses
    columns: tuple[str, ...]  # values of the manifest's further columns


class AskedLines:
    """The lines of one manifest, by file."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.further_columns = tuple(name for name in columns if name not in OWN_COLUMNS)
        self.channels: set[int] = set()  # that lines name
        self._columns = tuple(columns)
        self._lines: dict[str, bytearray] = {}  # "12 [0.5,2.0,null,"Anna"]\n" for line 12

    def add(self, file: str, line: int, values: Sequence[str]) -> Iterator[str]:
        """Take a line; yield what is wrong with it, if anything is."""
        found = dict(zip(self._columns, values, strict=True))
        faults = [*time_faults(*(found[name].strip() for name in TIMES))]
        channel = _channel(found.get("channel", "").strip())
        if channel is not None and not MIXED <= channel <= MOST_CHANNEL:
            told = found["channel"].strip()
            faults.append(f"the channel is {told}, expected a number from 0, or nothing for all")
        yield from faults
        if faults:
            return
        if channel is not None:
            self.channels.add(int(channel))
        start_s, end_s = (seconds(found[name]) for name in TIMES)
        record = [start_s or 0.0, end_s, channel, *(found[name] for name in self.further_columns)]
        told = f"{line} {json.dumps(record, separators=(',', ':'))}\n"
        self._lines.setdefault(file, bytearray()).extend(told.encode())

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def repeated(self) -> Iterator[tuple[int, str]]:
        """Lines that are the same as one before, with their numbers and what is wrong."""
        for file, lines in self._lines.items():
            first: dict[str, int] = {}
            for told in lines.decode().splitlines():
                number, _, record = told.partition(" ")
                before = first.setdefault(record, int(number))
                if before != int(number):
                    yield int(number), f"{file} stands in line {before} with the same segment"

    def packed(self, file: str) -> bytes:
        """A file's segments, whatever the order of its lines."""
        records = (told.partition(" ")[2] for told in self._lines[file].decode().splitlines())
        return pack(_unpacked(record) for record in records)


def pack(segments: Iterable[Asked]) -> bytes:
    """Segments as bytes, in order of their starts."""
    ordered = sorted(segments, key=_order)
    lines = (json.dumps([*each[:3], *each.columns], separators=(",", ":")) for each in ordered)
    return "\n".join(lines).encode()


def unpack(data: bytes) -> list[Asked]:
    """The segments that `pack` was given."""
    return [_unpacked(line) for line in data.decode().splitlines()]


def _unpacked(line: str) -> Asked:
    start_s, end_s, channel, *columns = json.loads(line)
    return Asked(start_s, end_s, channel, tuple(columns))


def _order(segment: Asked) -> tuple[float, float, int, tuple[str, ...]]:
    end_s = math.inf if segment.end_s is None else segment.end_s
    channel = MIXED - 1 if segment.channel is None else segment.channel
    return segment.start_s, end_s, channel, segment.columns


def time_faults(start: str, end: str) -> Iterator[str]:
    """What is wrong with a line's times, if anything is."""
    if not start and not end:  # the whole recording
        return
    if not start or not end:
        given, missing = TIMES if start else TIMES[::-1]
        yield f"{given} is given and {missing} is empty; give both, or neither for all of it"
        return
    start_s, end_s = seconds(start), seconds(end)
    for name, text, value in zip(TIMES, (start, end), (start_s, end_s), strict=True):
        if value is None:
            yield f"{name} is {text}, expected seconds from the recording's start on"
        elif value >= MOST_S:
            yield f"{name} is {text}, expected less than {MOST_S:g} seconds"
    if start_s is not None and end_s is not None and start_s >= end_s:
        yield f"starts at {start} s, which is not before its end at {end} s"


def seconds(text: str) -> float | None:
    """Seconds from a recording's start on; None if a text is no such number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def _channel(text: str) -> int | None:
    """A channel's number (pandas writes 1.0 beside a gap); one out of range if it is none."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return MIXED - 1
    return int(value) if value.is_integer() else MIXED - 1
