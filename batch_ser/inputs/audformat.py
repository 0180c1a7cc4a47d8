"""Tables of audformat: `file,start,end`, with times as pandas writes timedeltas."""

import re
from collections.abc import Iterator, Sequence

from batch_ser.cells import text_of
from batch_ser.inputs.names import printable
from batch_ser.inputs.raw_rows import RawRow

HEADER = ["file", "start", "end"]  # the first columns
TIMES = {"start": "start_s", "end": "end_s"}
OPEN = ("", "NaT")
TIMEDELTA = re.compile(r"(?:(\d+) days?)?(?:(?:^| )\+?(\d+):(\d\d):(\d\d(?:\.\d+)?))?")
SECONDS = re.compile(r"\d+(?:\.\d*)?")
EXPECTED = (
    "expected a time such as 0 days 00:00:01.5, or nothing (a table with file,start,end is one of "
    "audformat; --segment speech, window or whole takes its times as values like any other)"
)


def is_audformat(names: Sequence[str]) -> bool:
    """Whether a table is one with segments, by its header."""
    return [*names[:3]] == HEADER and not set(TIMES.values()).intersection(names)


def names_of(names: Sequence[str]) -> list[str]:
    """The names of the columns as other manifests have them."""
    return [TIMES.get(name, name) for name in names]


def rows_of(row: RawRow) -> Iterator[RawRow]:
    """A row with its times in seconds; an open start is that of the recording, and so the end."""
    values = dict(row.values)
    times: dict[str, str] = {}
    for name in TIMES:
        try:
            text = text_of(values.get(name)).strip()
        except ValueError as error:
            yield RawRow(row.number, {}, f"{name} is {error}; {EXPECTED}")
            return
        found = _seconds(text)
        if found is None:
            yield RawRow(row.number, {}, f"{name} is {printable(text)}; {EXPECTED}")
            return
        times[name] = found
    if not times["end"] and float(times["start"] or 0) == 0:
        times["start"] = ""  # the whole recording
    elif not times["start"]:
        times["start"] = "0"
    renamed = {TIMES.get(name, name): times.get(name, value) for name, value in values.items()}
    yield RawRow(row.number, renamed)


def _seconds(text: str) -> str | None:
    """Seconds as text, empty where a time is open; None if a text is no time."""
    if text in OPEN:
        return ""
    if SECONDS.fullmatch(text):
        return text
    found = TIMEDELTA.fullmatch(text)
    if not found or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (each or "0" for each in found.groups())
    whole, _, fraction = seconds.partition(".")
    total = ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(whole)
    return f"{total}.{fraction}" if fraction.strip("0") else str(total)
