"""The folder that `sample` wrote: which segment each of its clips is, and with what weight."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from batch_ser.calls import plain_cell
from batch_ser.errors import UsageError
from batch_ser.inputs import Columns, read_rows
from batch_ser.labels.names import RecordingNames
from batch_ser.labels.reading import (
    ROUNDING_S,
    Label,
    Problem,
    checked,
    content_of,
    seconds,
    whole,
)

TABLE = "sample.csv"
COLUMNS = Columns(needed=("clip", "file", "channel", "segment", "start_s", "end_s", "weight"))
Key = tuple[str, int, int]  # file, channel, segment


@dataclass(frozen=True)
class Clip:
    """One task: a segment of the output, and its weight."""

    file: str
    channel: int
    segment: int
    start_s: float
    end_s: float
    weight: float

    @property
    def key(self) -> Key:
        return self.file, self.channel, self.segment


class Sample:
    """The tasks of a sample, by the names of their clips and by their segments."""

    def __init__(self, clips: Sequence[tuple[str, Clip]]) -> None:
        """Clips with their names, which are empty where recordings are labelled."""
        self._clips = {name: clip for name, clip in clips if name}
        self._names = RecordingNames(self._clips)
        self._by_key = {clip.key: clip for _, clip in clips}

    @classmethod
    def read(cls, folder: Path) -> "Sample":
        """The sample in a folder.

        Raises:
            UsageError: there is none, or its table is faulty.
        """
        path = folder / TABLE
        content_of(path)
        clips: list[tuple[str, Clip]] = []
        for row in read_rows(path, COLUMNS):
            found = row.fault or _clip(row.values)
            if isinstance(found, str):
                raise UsageError(f"{path}: line {row.number}: {found}; make the sample again")
            clips.append((plain_cell(row.values["clip"]), found))
        return cls(clips)

    def clip(self, label: Label) -> Clip | None:
        """The clip that a label names, or its file is named after, or a task plays."""
        if label.file:
            return self._clips.get(label.file)
        found = self._names.find("", unquote(label.like)) if label.like else []
        return self._clips[found[0]] if len(found) == 1 else None

    def weight(self, key: Key, start_s: float, end_s: float) -> float | None:
        """The weight of a segment; None if it was not sampled, at these times."""
        found = self._by_key.get(key)
        if found is None:
            return None
        apart_s = max(abs(found.start_s - start_s), abs(found.end_s - end_s))
        return found.weight if apart_s <= ROUNDING_S else None


def _clip(values: dict[str, str]) -> Clip | str:
    """A line of the table, or what is wrong with it."""
    try:
        numbers = {name: whole(values[name]) for name in ("channel", "segment")}
        times = {name: seconds(values[name]) for name in ("start_s", "end_s", "weight")}
    except (ValueError, OverflowError) as error:
        return str(error)
    if missing := [name for name, value in (numbers | times).items() if value is None]:
        return f"the column {missing[0]} is empty"
    file = plain_cell(values["file"])
    checking = checked(Label("", "any", "any", file, **numbers, **times))  # type: ignore[arg-type]
    if isinstance(checking, Problem):
        return checking.message
    return Clip(file, **numbers, **times)  # type: ignore[arg-type]


def sample_beside(path: Path) -> Path | None:
    """The folder of a sample that a label file lies in, or in a folder of."""
    folders = list(path.absolute().parents)[:2]
    return next((each for each in folders if (each / TABLE).is_file()), None)
