"""What a label file holds, whatever its format: labels, and what is no label, with the reason.

Label files come from other people and programs: sizes, counts, texts and numbers are bounded.
"""

import codecs
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from batch_ser.calls import FORMULA
from batch_ser.errors import UsageError
from batch_ser.inputs import printable

MAX_BYTES = 64 << 20  # of a file: about 300,000 labels of Label Studio; JSON takes 25 times as much
MAX_RECORDS = 500_000  # labels and problems of a file
MAX_TEXT = 100  # characters of a label, an annotator
MAX_S = 1e6  # eleven days
MAX_CHANNEL = 127
ROUNDING_S = 0.01  # times in label files are often rounded to hundredths
OUTSIDE_S = 0.1  # that a label in a clip may reach beyond it
NO_ANSWER, MALFORMED, OUT_OF_BOUNDS = "no_answer", "malformed", "out_of_bounds"
CANNOT_TELL = ("cannottell", "canttell", "cannotsay", "cantsay", "dontknow", "donotknow")
UNDECIDED = frozenset((*CANNOT_TELL, "unsure", "unclear", "unknown", "skip", "skipped", "none"))
EXPECTED = "expected UTF-8, or UTF-16 with a byte order mark"
T = TypeVar("T")


@dataclass(frozen=True)
class Label:
    """One label of one annotator, and where it belongs, as far as its file states it."""

    place: str  # in its file, such as `line 4`
    text: str  # as the annotator wrote it
    annotator: str
    file: str = ""  # the recording by its name in the tables
    like: str = ""  # or a name without ending, of a recording or of a clip
    channel: int | None = None  # None: not stated
    role: str = ""  # the party, where a tier is named after it
    segment: int | None = None  # its number in the segments table
    start_s: float | None = None  # from the start of the recording, or of the clip
    end_s: float | None = None
    weight: float | None = None  # 1 / the probability with which the segment was sampled


@dataclass(frozen=True)
class Problem:
    """What is no label, or belongs nowhere."""

    place: str
    reason: str  # a word
    message: str
    label: Label | None = None


Found = Label | Problem


def content_of(path: Path) -> bytes:
    """The bytes of a label file.

    Raises:
        UsageError: it is no file, cannot be read, or is too large.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such label file")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise UsageError(
            f"{path}: found more than {MAX_BYTES >> 20} MB; expected labels alone; divide the file"
        )
    return content


def text_of(path: Path) -> str:
    """A label file as text.

    Raises:
        UsageError: as `content_of`, or it is no text.
    """
    content = content_of(path)
    utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: no text ({error.reason}); {EXPECTED}") from error
    if "\0" in text:
        raise UsageError(f"{path}: found text with zero bytes; {EXPECTED}")
    return text


def bounded(path: Path, found: Iterator[T]) -> Iterator[T]:
    """What a file holds, as long as it is not too much.

    Raises:
        UsageError: it is.
    """
    for number, each in enumerate(found):
        if number == MAX_RECORDS:
            raise UsageError(f"{path}: found more than {MAX_RECORDS:,} labels; divide the file")
        yield each


def answer(text: str) -> str:
    """What an annotator chose; empty where that is no label: `cannot tell`, `skip`, `?`."""
    plain = "".join(each for each in text.casefold() if each.isalnum())
    return "" if not plain or plain in UNDECIDED else text.strip()


def text_fault(name: str, text: str) -> str:
    """What is wrong with a text that goes into a table; empty if nothing is."""
    if len(text) > MAX_TEXT:
        return f"the {name} has {len(text):,} characters, expected at most {MAX_TEXT}"
    if not text.isprintable():
        return f"the {name} {text!a} has characters that cannot be printed"
    if text.startswith(FORMULA):
        return f"the {name} is {printable(text)}, which a spreadsheet would compute"
    return ""


def checked(label: Label) -> Found:
    """A label, or what is wrong with it: its text, its times, its channel."""
    if not answer(label.text):
        shown = label.text.strip()[:MAX_TEXT]
        message = f"the answer is {shown!a}" if shown else "no answer"
        return Problem(label.place, NO_ANSWER, message, label)
    faults = [text_fault("label", label.text.strip()), text_fault("annotator", label.annotator)]
    if fault := next(filter(None, faults), ""):
        return Problem(label.place, MALFORMED, fault)
    if fault := _bounds(label):
        return Problem(label.place, OUT_OF_BOUNDS, fault, label)
    return label


def _bounds(label: Label) -> str:
    for name in ("start_s", "end_s"):
        value = getattr(label, name)
        if value is not None and not (math.isfinite(value) and 0 <= value <= MAX_S):
            return f"{name} is {value:g}, expected seconds from 0 to {MAX_S:,.0f}"
    if label.start_s is not None and label.end_s is not None and label.start_s > label.end_s:
        return f"starts at {label.start_s:g} s, after its end at {label.end_s:g} s"
    if label.channel is not None and not -1 <= label.channel <= MAX_CHANNEL:
        return f"the channel is {label.channel}, expected a number from 0, or -1 of a mixture"
    if label.segment is not None and label.segment < 0:
        return f"the segment is {label.segment}, expected a number from 0"
    if label.weight is not None and not (math.isfinite(label.weight) and label.weight > 0):
        return f"the weight is {label.weight:g}, expected a number above 0"
    return ""


def seconds(text: str) -> float | None:
    """A number of seconds, also one out of bounds; None if a text is no number.

    Raises:
        ValueError: it is neither empty nor a number.
    """
    return float(text) if text.strip() else None


def whole(text: str) -> int | None:
    """A whole number (pandas writes 1.0 beside a gap); None if there is none.

    Raises:
        ValueError: it is neither empty nor a whole number.
    """
    if not text.strip():
        return None
    value = float(text)
    if not value.is_integer() or abs(value) > 2**31:
        raise ValueError(f"found {text}, expected a whole number")
    return int(value)
