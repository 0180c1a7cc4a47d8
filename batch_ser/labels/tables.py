"""Tables of labels: CSV with the columns of `sample`, of `labels.csv` or of audformat."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from batch_ser.errors import UsageError
from batch_ser.inputs import Columns, Row, header, printable, read_rows
from batch_ser.labels.reading import (
    MALFORMED,
    Found,
    Label,
    Problem,
    checked,
    content_of,
    seconds,
    whole,
)

ANSWER = "answer"  # the column that an annotator fills in
ANSWERS = (ANSWER, "label", "emotion")  # columns of labels, the first that there is
ANNOTATORS = ("annotator", "rater")
PREDICTED = {"confidence", "weight"}  # columns of tables that `sample` writes, beside predictions
PLACES = ("file", "start_s", "end_s", "channel", "segment", "weight")
ALL = Columns(needed=("file",))


def read_table(path: Path, annotator: str) -> Iterator[Found]:
    """The labels of a table, one a line; of one of audformat (`file,start,end`) as well.

    Raises:
        UsageError: no CSV, or no column of labels.
    """
    content_of(path)  # its size
    names = header(path, ALL)
    column = _label_column(path, names)
    raters = next((name for name in ANNOTATORS if name in names), "")
    for row in read_rows(path, ALL):
        place = f"line {row.number}"
        if row.fault:
            yield Problem(place, MALFORMED, row.fault)
            continue
        who = row.values.get(raters, "").strip() or annotator
        yield _label(row, place, row.values[column], who)


def _label_column(path: Path, names: Sequence[str]) -> str:
    """The column with the labels of annotators.

    Raises:
        UsageError: there is none, or which one is not clear.
    """
    if ANSWER not in names and set(names) >= PREDICTED:
        raise UsageError(
            f"{path}: found a table of `sample` without a column {ANSWER}; its labels are what the "
            f"model predicted; expected what annotators chose in a column {ANSWER}"
        )
    found = [name for name in ANSWERS if name in names]
    further = [name for name in names if name not in (*PLACES, *ANNOTATORS)]
    if not found and len(further) != 1:
        raise UsageError(
            f"{path}: found the columns {', '.join(map(printable, names))}; expected labels in a "
            f"column named {', '.join(ANSWERS[:-1])} or {ANSWERS[-1]}"
        )
    return found[0] if found else further[0]


def _label(row: Row, place: str, text: str, annotator: str) -> Found:
    values = row.values
    try:
        return checked(
            Label(
                place,
                text,
                annotator,
                values["file"],
                channel=whole(values.get("channel", "")),
                segment=whole(values.get("segment", "")),
                start_s=seconds(values.get("start_s", "")),
                end_s=seconds(values.get("end_s", "")),
                weight=seconds(values.get("weight", "")),
            )
        )
    except (ValueError, OverflowError) as error:
        return Problem(place, MALFORMED, printable(str(error)))
