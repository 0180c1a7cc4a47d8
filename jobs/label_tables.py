"""`labels.csv`: one row for each segment and annotator; and the table of what is no label."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from batch_ser.calls import safe_cell
from batch_ser.labels import Segment, answer
from batch_ser.storage import open_folder
from jobs.labelled import Key, Labelled, Listed
from train.data import known_name

COLUMNS = ("file", "channel", "start_s", "end_s", "segment", "label", "annotator", "weight")
WHERE = ("file", "channel", "start_s", "end_s", "annotator", "label")
PROBLEM_COLUMNS = ("labels", "place", "reason", "message", *WHERE)
MOST_HEADER = 1_000  # bytes


def segments_of(rows: pa.Table) -> list[Segment]:
    """The segments in the rows of a recording."""
    roles = rows["role"].to_pylist() if "role" in rows.column_names else [None] * len(rows)
    columns = (rows[name].to_pylist() for name in ("segment", "start_s", "end_s"))
    found = zip(rows["channel"].to_pylist(), roles, *columns, strict=True)
    return [Segment(channel, role or "", *rest) for channel, role, *rest in found]


def name_of(text: str, known: Sequence[str], mapping: Mapping[str, str] | None = None) -> str:
    """A label as the checkpoint writes it, or else in lower case."""
    plain = answer(text)
    found = (mapping or {}).get(plain.casefold()) or known_name(plain, known)
    return found or plain.lower()


def is_ours(path: Path, columns: Sequence[str]) -> bool:
    """Whether a file begins with these names of columns."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline(MOST_HEADER).strip() == ",".join(columns).encode()


def label_rows(labelled: Labelled) -> Iterator[tuple[object, ...]]:
    """The rows of `labels.csv`, in order."""
    for (file, segment), mine in sorted(labelled.given.items(), key=_order):
        where = (file, segment.channel, segment.start_s, segment.end_s, segment.number)
        for who, each in sorted(mine.items()):
            yield (*where, each.name, who, each.weight)


def _order(each: tuple[Key, object]) -> tuple[str, int, int]:
    (file, segment), _ = each
    return file, segment.channel, segment.number


def problem_row(listed: Listed) -> list[object]:
    """A row of the table of problems, which no spreadsheet computes."""
    path, problem = listed
    label = problem.label
    cells = [str(path), problem.place, problem.reason, problem.message]
    if label is None:
        return [*map(safe_cell, cells), *[""] * len(WHERE)]
    own = (label.file or label.like, label.channel, label.start_s, label.end_s)
    return [*map(safe_cell, (*cells, *own, label.annotator, label.text))]


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV in one go; halves of characters, which JSON can hold, as \\uXXXX."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    open_folder(path.parent).write(path.name, text.getvalue().encode(errors="backslashreplace"))
