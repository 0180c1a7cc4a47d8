"""A database of audformat: a header `db.yaml` and a table of segments.

Source: https://audeering.github.io/audformat/data-format.html; values are written as audformat
1.4 writes them.
"""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from batch_ser.errors import UsageError
from jobs.sample.task import ANSWER, CANNOT_TELL, Task

HEADER, SEGMENTS = "db.yaml", "db.segments.csv"
NS_PER_S = 1_000_000_000
COLUMNS = ("emotion", "confidence", "weight", ANSWER)
PRINTABLE = range(0x20, 0x7F)


def write_audformat(
    folder: Path, tasks: Sequence[Task], labels: Sequence[str], model: str
) -> list[str]:
    """Clips with their whole length, or without clips recordings with the times of segments."""
    (folder / HEADER).write_text(_header(labels, model), encoding="utf-8")
    with (folder / SEGMENTS).open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", "start", "end", *COLUMNS])
        for task in tasks:
            values = [task.label, task.confidence, task.weight, ""]
            writer.writerow([*_index(task), *values])
    return [HEADER, SEGMENTS]


def check_index(tasks: Sequence[Task]) -> None:
    """Check that tasks without clips differ by recording and times: audformat has no channels.

    Raises:
        UsageError: two of them do not.
    """
    counts = Counter((task.file, task.start_s, task.end_s) for task in tasks)
    if tasks and counts.most_common(1)[0][1] > 1:
        raise UsageError(
            "--to audformat: found segments of several channels with the same times, which a "
            "table of audformat cannot tell apart; expected --audio, so that each has its clip"
        )


def _index(task: Task) -> tuple[str, str, str]:
    if task.clip:
        return task.clip, _duration(0.0), _duration(task.length_s)
    return task.file, _duration(task.start_s), _duration(task.end_s)


def _duration(seconds: float) -> str:
    """A time as pandas writes a timedelta: `0 days 00:00:01.500000000`."""
    whole, rest = divmod(round(seconds * NS_PER_S), NS_PER_S)
    days, whole = divmod(whole, 86_400)
    hours, minutes = divmod(whole // 60, 60)
    return f"{days} days {hours:02}:{minutes:02}:{whole % 60:02}.{rest:09}"


def _header(labels: Sequence[str], model: str) -> str:
    names = ", ".join(map(_quoted, (*labels, CANNOT_TELL)))
    return f"""\
name: sample
description: A sample of segments for labelling; weight is 1 over the probability of each.
source: batch-ser
usage: other
languages: []
raters:
  model: {{type: machine, description: {_quoted(model)}}}
  annotator: {{type: human}}
schemes:
  emotion:
    dtype: str
    labels: [{names}]
  probability: {{dtype: float, minimum: 0, maximum: 1}}
  weight: {{dtype: float, minimum: 1}}
tables:
  segments:
    type: segmented
    columns:
      emotion: {{scheme_id: emotion, rater_id: model}}
      confidence: {{scheme_id: probability, rater_id: model}}
      weight: {{scheme_id: weight}}
      {ANSWER}: {{scheme_id: emotion, rater_id: annotator}}
"""


def _quoted(text: str) -> str:
    """A scalar of YAML in double quotes, in ASCII."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    safe = ord(character) in PRINTABLE and character not in '"\\'
    return character if safe else f"\\U{ord(character):08x}"
