"""Which reader a label file has, by its name and its first bytes."""

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path

from batch_ser.errors import UsageError
from batch_ser.labels.audacity import read_audacity
from batch_ser.labels.label_studio import read_label_studio
from batch_ser.labels.reading import NO_ANSWER, Found, Problem, bounded, content_of
from batch_ser.labels.sampled import TABLE, sample_beside
from batch_ser.labels.tables import read_table
from batch_ser.labels.textgrid import is_textgrid, read_textgrid

READERS: dict[str, Callable[[Path, str], Iterator[Found]]] = {
    ".json": read_label_studio,
    ".txt": read_audacity,
    ".textgrid": read_textgrid,
    ".csv": read_table,
    ".tsv": read_table,
}
BY_FOLDER = (".txt", ".textgrid")  # an annotator has a file for each recording or clip
OF_SAMPLE = (TABLE, "db.segments.csv")  # tables that `sample` writes, and annotators fill in
BEGINNING = 64  # bytes
EXPECTED = (
    "expected Label Studio's JSON (.json), an Audacity label track (.txt), a TextGrid of Praat "
    "(.TextGrid), or a table of audformat or labels (.csv, .tsv)"
)


def read_labels(path: Path, annotator: str | None = None) -> Iterator[Found]:
    """The labels of a file; its annotator, where the file itself states none, is `annotator`, or
    has the name of the file. Tracks, TextGrids and tables of a sample have names of their own:
    there it is the name of the folder, of a sample that of its own.

    Raises:
        UsageError: no such file, too large, or none of the formats.
    """
    ending = path.suffix.lower()
    if ending not in READERS:
        raise UsageError(f"{path}: found the ending {ending or '(none)'}; {EXPECTED}")
    beginning = content_of(path)[:BEGINNING]
    utf_16 = beginning.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = beginning.decode("utf-16" if utf_16 else "utf-8", errors="ignore")
    if text.lstrip("\ufeff \r\n").startswith("<"):
        raise UsageError(f"{path}: found XML or HTML, which is not read; {EXPECTED}")
    if ending == ".txt" and is_textgrid(text):
        ending = ".textgrid"
    default = path.stem
    if ending in BY_FOLDER or path.name in OF_SAMPLE:
        default = (sample_beside(path) or path.absolute().parent).name
    found, nothing = bounded(path, READERS[ending](path, annotator or default or "unnamed")), True
    for each in found:
        nothing = False
        yield each
    if nothing:
        yield Problem("file", NO_ANSWER, "it holds no labels")
