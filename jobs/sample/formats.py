"""What a sample is written as: one function a format, which adds its files to the clips."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from jobs.sample.audacity import write_audacity
from jobs.sample.audformat import HEADER, SEGMENTS, write_audformat
from jobs.sample.hugging_face import PARQUET, write_hugging_face
from jobs.sample.label_studio import CONFIG, TASKS, TASKS_SECOND, write_label_studio
from jobs.sample.task import TABLE, Task


class Format(NamedTuple):
    """A format: `write` returns the names of its files, below the folder, that may be changed."""

    write: Callable[[Path, Sequence[Task], Sequence[str], str], list[str]]
    needs_clips: bool = True  # else recordings are named, where there are no clips
    keeps_clips: bool = True  # else they are in a file of the format
    answers: bool = False  # `sample.csv` has a column for them


def _nothing(_: Path, __: Sequence[Task], ___: Sequence[str], ____: str) -> list[str]:
    return []


FORMATS: Mapping[str, Format] = {
    "label-studio": Format(write_label_studio),
    "audacity": Format(write_audacity),
    "audformat": Format(write_audformat, needs_clips=False),
    "csv": Format(_nothing, needs_clips=False, answers=True),
    "hf": Format(write_hugging_face, keeps_clips=False),
}
# of all formats, other than clips and what is beside them
NAMES = (TABLE, TASKS, TASKS_SECOND, CONFIG, HEADER, SEGMENTS, PARQUET)
