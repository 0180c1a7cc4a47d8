"""`batch-ser diff`: two outputs of the same recordings, compared segment by segment.

Both are read once, file by file, in order of the names: memory does not grow with them.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import pyarrow as pa

from batch_ser.errors import UsageError
from batch_ser.results import Part
from jobs.agreement import Agreement
from jobs.recovery import storage_errors
from jobs.scored_segments import ScoredSegments

TIMES = ("start_s", "end_s")
TIMES_PER_S = 1_000  # times of a segment are compared to a millisecond
NO_VALUE = "(none)"  # of the column of groups
Key = tuple[int, int, int]  # channel, start and end in milliseconds
T = TypeVar("T")


@dataclass(frozen=True)
class Segment:
    """A segment as one of the outputs has it."""

    emotion: str
    probabilities: dict[str, float]
    group: str


@dataclass(frozen=True, order=True)
class Moved:
    """A segment whose probabilities differ, by their total variation distance, from 0 to 1."""

    distance: float
    file: str
    channel: int
    start_s: float
    end_s: float
    left: str  # its emotion
    right: str


@dataclass
class Difference:
    """What two outputs have in common, and where they differ."""

    files: Counter[str] = field(default_factory=Counter)  # both, left, right; status: another one
    segments: Counter[str] = field(default_factory=Counter)  # both, left, right
    whole: Agreement = field(default_factory=Agreement)
    groups: dict[str, Agreement] = field(default_factory=dict)
    most: list[Moved] = field(default_factory=list)  # that moved most, the first most of all

    def as_json(self) -> dict[str, Any]:
        """The fields that docs/commands.md describes."""
        sides = ("both", "left", "right")
        return {
            "files": {name: self.files[name] for name in (*sides, "status")},
            "segments": {name: self.segments[name] for name in sides},
            **self.whole.as_json(),
            "groups": {name: each.as_json() for name, each in sorted(self.groups.items())},
            "most": [asdict(each) for each in self.most],
        }


def diff(left: str, right: str, by: str | None = None, most: int = 10) -> Difference:
    """Compare two complete outputs; `by` a column of the first or of the second.

    Segments are the same if they have one file, channel and times.

    Raises:
        MismatchError: one of them is no complete output.
        UsageError: there is no such column, or not one file is in both.
    """
    outputs = [_Side.of(each) for each in (left, right)]
    if by is not None and not any(by in each.schemas.final_segments.names for each in outputs):
        columns = dict.fromkeys(name for each in outputs for name in each.schemas.carried_columns)
        known = ", ".join(columns) or "none: there is no manifest and no --name-pattern"
        raise UsageError(f"--by {by}: expected a column that both or one of them has ({known})")
    found = Difference()
    with storage_errors(outputs[0].output), storage_errors(outputs[1].output):
        _compare_files(found, *(each.rows("files") for each in outputs))
        if not found.files["both"]:
            raise UsageError(
                f"{left}, {right}: not one file is in both; expected outputs of the same "
                "recordings, with the same names (--root)"
            )
        _compare_segments(found, outputs[0], outputs[1], by, most)
    found.most.sort(key=lambda each: (-each.distance, each))
    return found


class _Side(ScoredSegments):
    """One of the outputs."""

    def rows(self, table: str) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each file in a published table, by its name."""
        return Part.published(self.output).rows(table)

    def segments(self, rows: pa.Table, by: str | None) -> dict[Key, Segment]:
        """Rows of a file, by channel and times."""
        labels = self.schemas.labels
        scores = zip(*(rows[f"p_{label}"].to_pylist() for label in labels), strict=True)
        groups: Iterable[str | None] = [None] * len(rows)
        if by is not None and by in rows.column_names:
            groups = rows[by].cast(pa.string()).to_pylist()
        keys = zip(
            rows["channel"].to_pylist(),
            *([round(s * TIMES_PER_S) for s in rows[name].to_pylist()] for name in TIMES),
            strict=True,
        )
        found = zip(keys, rows["emotion"].to_pylist(), scores, groups, strict=True)
        return {
            key: Segment(emotion, dict(zip(labels, each, strict=True)), group or NO_VALUE)
            for key, emotion, each, group in found
        }


def _compare_files(
    found: Difference, left: Iterator[tuple[str, pa.Table]], right: Iterator[tuple[str, pa.Table]]
) -> None:
    for _, one, other in _joined(left, right):
        found.files[_side(one, other)] += 1
        if one and other:
            found.files["status"] += one["status"][0] != other["status"][0]


def _compare_segments(
    found: Difference, left: _Side, right: _Side, by: str | None, most: int
) -> None:
    for file, one, other in _joined(left.rows("segments"), right.rows("segments")):
        ones = left.segments(one, by) if one else {}
        others = right.segments(other, by) if other else {}
        for key in sorted(ones.keys() | others.keys()):
            before, after = ones.get(key), others.get(key)
            found.segments[_side(before, after)] += 1
            if before and after:
                _compare(found, file, key, before, after, most, grouped=by is not None)


def _compare(
    found: Difference,
    file: str,
    key: Key,
    before: Segment,
    after: Segment,
    most: int,
    *,
    grouped: bool,
) -> None:
    """Count a segment that both outputs have."""
    labels = before.probabilities.keys() | after.probabilities.keys()
    pairs = ((before.probabilities.get(x, 0.0), after.probabilities.get(x, 0.0)) for x in labels)
    distance = sum(abs(a - b) for a, b in pairs) / 2
    found.whole.add(before.emotion, after.emotion, distance)
    if grouped:
        group = before.group if before.group != NO_VALUE else after.group
        found.groups.setdefault(group, Agreement()).add(before.emotion, after.emotion, distance)
    channel, start, end = key
    times = start / TIMES_PER_S, end / TIMES_PER_S
    moved = Moved(distance, file, channel, *times, before.emotion, after.emotion)
    if len(found.most) < most:
        heapq.heappush(found.most, moved)
    elif most and moved > found.most[0]:
        heapq.heapreplace(found.most, moved)


def _side(one: object | None, other: object | None) -> str:
    return "both" if one and other else "left" if one else "right"


def _joined(
    left: Iterator[tuple[str, T]], right: Iterator[tuple[str, T]]
) -> Iterator[tuple[str, T | None, T | None]]:
    """What two iterators in order of names have under each name."""
    one, other = next(left, None), next(right, None)
    while one or other:
        name = min(each[0] for each in (one, other) if each)
        mine = one[1] if one and one[0] == name else None
        yours = other[1] if other and other[0] == name else None
        yield name, mine, yours
        one = next(left, None) if mine is not None else one
        other = next(right, None) if yours is not None else other
