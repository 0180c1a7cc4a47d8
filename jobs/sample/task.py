"""A task for an annotator: one segment of an output, and how it was drawn."""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from batch_ser.calls import SpreadsheetWriter

TABLE = "sample.csv"
ANSWER = "answer"  # the column that an annotator fills in
CANNOT_TELL = "cannot tell"  # an answer that is no label


@dataclass(frozen=True)
class Task:
    """A row of `sample.csv`; its fields are the columns."""

    clip: str  # the clip's file below the folder of the sample; empty without clips
    file: str  # this and the next four as in the segments table
    channel: int
    segment: int
    start_s: float
    end_s: float
    label: str  # the most probable one
    confidence: float
    stratum: str
    weight: float  # 1 / probability that the segment is drawn
    second: int  # 1: a second annotator gets it, too

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


COLUMNS = [each.name for each in fields(Task)]


def write_table(path: Path, tasks: Iterable[Task], *, answers: bool) -> None:
    """Write `sample.csv`, for spreadsheets; with `answers` a column to be filled in."""
    names = [*COLUMNS, *([ANSWER] if answers else [])]
    with SpreadsheetWriter(path, names) as writer:
        for task in tasks:
            writer.write(dict(zip(names, (*astuple(task), ""), strict=False)))
