"""TextGrids of Praat, in the long and in the short text format.

Praat reads numbers, texts in quotes and flags such as <exists> that stand free, and ignores the
rest: that rule reads both formats. Lines from `!` on are comments. Source:
https://www.fon.hum.uva.nl/praat/manual/TextGrid_file_formats.html
"""

import re
from collections.abc import Iterator
from pathlib import Path

from batch_ser.errors import UsageError
from batch_ser.inputs import printable
from batch_ser.labels.audacity import named
from batch_ser.labels.reading import MALFORMED, Found, Label, Problem, checked, text_of

# possessive: a quote that is never closed costs one look, and no memory
TOKEN = re.compile(r'"((?:[^"]+|"")*+)"|(<\w+>)|(![^\n]*)|([^\s"!]+)|(["!])')
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
TIER = re.compile(r"(?:ch|channel|tier)?[ _.-]*(\d{1,3})", re.IGNORECASE)
MIXTURES = ("mix", "mixture", "mono")
EXISTS, INTERVALS, POINTS = "<exists>", "IntervalTier", "TextTier"
FILE_TYPES = ("ooTextFile", "ooTextFile short")
MAX_TIERS = 256
Token = float | str


def is_textgrid(beginning: str) -> bool:
    """Whether a text begins as Praat's do."""
    return beginning.lstrip("\ufeff \r\n").startswith(('File type = "ooTextFile', '"ooTextFile'))


def read_textgrid(path: Path, annotator: str) -> Iterator[Found]:
    """The labels of all interval tiers; a tier is a channel by its name, or a role.

    Intervals without a text are no labels, as Praat fills time with them.

    Raises:
        UsageError: it is no TextGrid, or damaged.
    """
    tokens = _Tokens(path, text_of(path))
    tokens.expect(*FILE_TYPES)
    tokens.expect("TextGrid")
    tokens.number()
    tokens.number()
    if tokens.next() != EXISTS:
        return
    for tier in range(1, tokens.count(MAX_TIERS) + 1):
        kind, name = tokens.text(), tokens.text()
        tokens.number()
        tokens.number()
        if kind == INTERVALS:
            yield from _intervals(tokens, f"tier {tier}, interval", name, annotator)
        elif kind == POINTS:
            for _ in range(tokens.count()):
                tokens.number()
                tokens.text()
            yield Problem(f"tier {tier}", MALFORMED, "a point tier, expected intervals")
        else:
            raise tokens.damaged(f"a tier of the class {printable(kind)}")


def _intervals(tokens: "_Tokens", word: str, name: str, annotator: str) -> Iterator[Found]:
    like, channel = named(tokens.path)
    role = ""
    if found := TIER.fullmatch(name.strip()):
        channel = int(found[1])
    elif name.strip().casefold() in MIXTURES:
        channel = -1
    else:
        role = name.strip()
    for number in range(1, tokens.count() + 1):
        start_s, end_s, text = tokens.number(), tokens.number(), tokens.text()
        if text.strip():
            place = f"{word} {number}"
            yield checked(
                Label(place, text, annotator, "", like, channel, role, None, start_s, end_s)
            )


class _Tokens:
    """What stands free in a file: numbers, texts and flags, one after the other."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._length = len(text)
        self._tokens = _free(text)

    def next(self) -> Token:
        found = next(self._tokens, None)
        if found is None:
            raise self.damaged("the end of the file")
        return found

    def number(self) -> float:
        found = self.next()
        if not isinstance(found, float):
            raise self.damaged(f"the text {printable(found[:20])}", "a number")
        return found

    def text(self) -> str:
        found = self.next()
        if isinstance(found, float):
            raise self.damaged(f"the number {found:g}", "a text")
        return found

    def count(self, most: int | None = None) -> int:
        """How many of something follow: each takes characters of the file."""
        found, most = self.number(), self._length if most is None else most
        if not found.is_integer() or not 0 <= found <= most:
            raise self.damaged(f"the size {found:g}", f"a whole number up to {most:,}")
        return int(found)

    def expect(self, *texts: str) -> None:
        if (found := self.text()) not in texts:
            raise self.damaged(f"the text {printable(found[:20])}", f'"{texts[0]}"')

    def damaged(self, found: str, expected: str = "a TextGrid of Praat") -> UsageError:
        return UsageError(
            f"{self.path}: found {found}, expected {expected}; save it again in Praat as a text "
            "file or a short text file"
        )


def _free(text: str) -> Iterator[Token]:
    for found in TOKEN.finditer(text):
        quoted, flag, _, word, _ = found.groups()
        if quoted is not None:
            yield quoted.replace('""', '"')
        elif flag:
            yield flag
        elif word and NUMBER.fullmatch(word):
            yield float(word)
