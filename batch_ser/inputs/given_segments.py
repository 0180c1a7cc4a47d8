"""Given segments: those of a manifest's lines, by file, checked, and small enough to be many.

A million of them stay in the driver's memory until their files are done: as text, a file's
together, about 100 bytes each. They reach the workers in this form, too.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from batch_ser.audio import MIXED
from batch_ser.inputs.names import printable
from batch_ser.inputs.rows import OWN_COLUMNS, Row

TIMES = ("start_s", "end_s")  # a manifest with these columns has given segments
MAX_CHANNEL = 127  # of an int8
MAX_S = 1e9  # thirty years; frames of longer ones would not be exact


class GivenSegment(NamedTuple):
    """A segment that a manifest gives; without times it is the whole recording."""

    start_s: float
    end_s: float | None  # None: the recording's
    channel: int | None  # None: each that --channels chooses
    columns: tuple[str | None, ...]  # values of the job's further columns; None: not its own


class GivenLines:
    """The given segments of one manifest, by file."""

    def __init__(self, columns: Sequence[str], word: str = "line") -> None:
        """`word` is what messages call a line."""
        self.further_columns = tuple(name for name in columns if name not in OWN_COLUMNS)
        self.channels: set[int] = set()  # that lines name
        self.with_query: set[str] = set()  # files whose address has more than its name
        self._word = word
        self._roles: dict[str, str] = {}
        self._lines: dict[str, bytearray] = {}  # "12 [0.5,2.0,null,"Anna"]\n" for line 12

    def add(self, file: str, row: Row) -> Iterator[str]:
        """Add a line; yield what is wrong with it, if anything is."""
        values = {name: printable(value) for name, value in row.values.items()}
        faults = [*time_faults(*(values.get(name, "").strip() for name in TIMES))]
        faults += channel_faults(values.get("channel", "").strip())
        roles = values.get("roles", "").strip()
        if roles != self._roles.get(file, roles):
            faults.append(f"{file} has the roles {self._roles[file]} in another {self._word}")
        yield from faults
        if faults:
            return
        if "roles" in values:
            self._roles[file] = roles
        channel = parse_channel(values.get("channel", "").strip())
        if channel is not None:
            self.channels.add(channel)
        start_s, end_s = (parse_seconds(values.get(name, "")) for name in TIMES)
        further = (values.get(name, "") for name in self.further_columns)
        record = _packed(GivenSegment(start_s or 0.0, end_s, channel, tuple(further)))
        self._lines.setdefault(file, bytearray()).extend(f"{row.number} {record}\n".encode())

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def repeated(self) -> Iterator[tuple[int, str]]:
        """Lines that are the same as one before, with their numbers and what is wrong."""
        for file, lines in self._lines.items():
            first: dict[str, int] = {}
            for line in lines.decode().splitlines():
                number, _, record = line.partition(" ")
                before = first.setdefault(record, int(number))
                if before != int(number):
                    yield (
                        int(number),
                        f"{file} is in {self._word} {before} too, with the same segment",
                    )

    def roles(self, file: str) -> str:
        """The roles that a file's lines state, as text."""
        return self._roles.get(file, "")

    def first_line(self, file: str) -> int:
        """The number of a file's first line."""
        return int(self._lines[file].partition(b" ")[0])

    def packed(self, file: str) -> bytes:
        """A file's segments, whatever the order of its lines."""
        records = (line.partition(" ")[2] for line in self._lines[file].decode().splitlines())
        return pack(_unpacked(record) for record in records)


def pack(segments: Iterable[GivenSegment]) -> bytes:
    """Segments as bytes, in order of their starts."""
    return "\n".join(_packed(each) for each in sorted(segments, key=_order)).encode()


def unpack(data: bytes) -> list[GivenSegment]:
    """The segments that were packed."""
    return [_unpacked(line) for line in data.decode().splitlines()]


def _packed(segment: GivenSegment) -> str:
    return json.dumps([*segment[:3], *segment.columns], separators=(",", ":"))


def _unpacked(line: str) -> GivenSegment:
    start_s, end_s, channel, *columns = json.loads(line)
    return GivenSegment(start_s, end_s, channel, tuple(columns))


def _order(segment: GivenSegment) -> tuple[float, float, int, tuple[str, ...]]:
    end_s = math.inf if segment.end_s is None else segment.end_s
    channel = MIXED - 1 if segment.channel is None else segment.channel
    columns = tuple(value or "" for value in segment.columns)  # a file's have None in the same
    return segment.start_s, end_s, channel, columns


def time_faults(start: str, end: str) -> Iterator[str]:
    """What is wrong with a line's times, if anything is."""
    if not start and not end:  # the whole recording
        return
    if not start:
        yield "end_s is given and start_s is empty; give both, or neither for all of it"
        return
    start_s, end_s = parse_seconds(start), parse_seconds(end)
    for name, text, value in zip(TIMES, (start, end), (start_s, end_s), strict=True):
        if not text:  # to the end of the recording
            continue
        if value is None:
            yield f"{name} is {text}, expected seconds from the recording's start on"
        elif value >= MAX_S:
            yield f"{name} is {text}, expected less than {MAX_S:g} seconds"
    if start_s is not None and end_s is not None and start_s >= end_s:
        yield f"starts at {start} s, which is not before its end at {end} s"


def parse_seconds(text: str) -> float | None:
    """Seconds from a recording's start on; None if a text is no such number."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def channel_faults(text: str) -> Iterator[str]:
    """What is wrong with a line's channel, if anything is."""
    channel = parse_channel(text)
    if channel is not None and not MIXED <= channel <= MAX_CHANNEL:
        yield f"the channel is {text}, expected a number from 0, or nothing for all"


def parse_channel(text: str) -> int | None:
    """A channel's number (pandas writes 1.0 beside a gap); one out of range if it is none."""
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        return MIXED - 1
    return int(value) if value.is_integer() else MIXED - 1
