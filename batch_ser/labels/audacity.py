"""Label tracks of Audacity: start, end and label by tabs, in seconds.

Source: https://manual.audacityteam.org/man/importing_and_exporting_labels.html
"""

import re
from collections.abc import Iterator
from pathlib import Path

from batch_ser.inputs import printable
from batch_ser.labels.reading import (
    MALFORMED,
    MAX_TEXT,
    Found,
    Label,
    Problem,
    checked,
    text_of,
)

CHANNEL = re.compile(r"\.ch(\d{1,3})$")  # a track of one channel: NAME.ch1.txt
FREQUENCIES = "\\"  # begins the line after a label that was made in a spectrogram
FIELDS = 3


def named(path: Path) -> tuple[str, int | None]:
    """The name that a track has of its recording or clip, and its channel, if it states one."""
    name = path.with_suffix("").as_posix()
    found = CHANNEL.search(name)
    return (name[: found.start()], int(found[1])) if found else (name, None)


def read_audacity(path: Path, annotator: str) -> Iterator[Found]:
    """The labels of a track, which is named after its recording or clip.

    Raises:
        UsageError: it is no text.
    """
    like, channel = named(path)
    for number, line in enumerate(text_of(path).split("\n"), 1):
        place, fields = f"line {number}", line.rstrip("\r").split("\t", FIELDS - 1)
        if not line.strip() or fields[0] == FREQUENCIES:
            continue
        try:
            start_s, end_s = map(float, fields[:2])
        except ValueError:
            shown = printable(line[:MAX_TEXT])
            message = f"found {shown!a}, expected start, end and label by tabs"
            yield Problem(place, MALFORMED, message)
            continue
        text = fields[2] if len(fields) == FIELDS else ""
        yield checked(
            Label(place, text, annotator, "", like, channel, start_s=start_s, end_s=end_s)
        )
