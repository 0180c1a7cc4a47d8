"""Which calls a report shows: the most negative ones, and a control group that is drawn at random.

Memory is that of the calls which are kept, however many there are.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

SEED = 0
Row = Mapping[str, Any]


class Sample(StrEnum):
    """Why a call is singled out."""

    STRONGEST = "strongest"  # its loudest anger is among the highest
    CONTROL = "control"  # drawn at random, to compare with


@dataclass
class _Highest:
    """The rows with the highest values; of equal ones the first."""

    most: int
    _heap: list[tuple[float, int, Row]] = field(default_factory=list)

    def add(self, value: float, number: int, row: Row) -> None:
        if self.most:
            keep = heapq.heappushpop if len(self._heap) == self.most else heapq.heappush
            keep(self._heap, (value, -number, row))  # numbers differ: rows are not compared

    @property
    def rows(self) -> list[Row]:
        """In order."""
        return [row for *_, row in sorted(self._heap, key=lambda each: (-each[0], -each[1]))]


class ChosenCalls:
    """Rows of the table of calls are added one by one, in the order of the table.

    `parties` are those by which calls are ordered, such as the customer. A call counts by the one
    with the most negative time.
    """

    def __init__(self, parties: Sequence[str], most: int, samples: int) -> None:
        """`most` calls are kept in all, `samples` of them for each kind of sample."""
        samples = min(samples, most // 2)
        self._parties = parties
        self._most = most
        self._highest, self._strongest = _Highest(most), _Highest(samples)
        self._control: list[Row] = []
        self._samples = samples
        self._draw = np.random.default_rng(SEED)
        self._eligible = 0
        self.count = 0  # of all calls

    def add(self, row: Row) -> None:
        """Add a call."""
        party = worst_party(row, self._parties)
        value = row[f"negative_time_{party}_s"] if party else None
        self._highest.add(-1.0 if value is None else value, self.count, row)
        self.count += 1
        if party is None:
            return
        self._draw_control(row)
        peaks = (row[f"anger_peak_{each}"] for each in self._parties)
        known = [each for each in peaks if each is not None]
        self._strongest.add(max(known, default=-1.0), self.count, row)

    def _draw_control(self, row: Row) -> None:
        """Reservoir sampling: each call so far is kept with the same probability."""
        self._eligible += 1
        if len(self._control) < self._samples:
            self._control.append(row)
        elif (at := int(self._draw.integers(self._eligible))) < self._samples:
            self._control[at] = row

    @property
    def samples(self) -> dict[str, list[str]]:
        """The names of the calls of each sample: the strongest in order, those drawn by name."""
        control = sorted(row["file"] for row in self._control)
        return {
            Sample.STRONGEST.value: [row["file"] for row in self._strongest.rows],
            Sample.CONTROL.value: control,
        }

    @property
    def rows(self) -> list[Row]:
        """The calls of the samples and those with the most negative time, by negative time."""
        named = {row["file"]: row for row in (*self._strongest.rows, *self._control)}
        others = [row for row in self._highest.rows if row["file"] not in named]
        kept = [*named.values(), *others[: self._most - len(named)]]
        return sorted(kept, key=lambda row: (-self._value(row), row["file"]))

    def _value(self, row: Row) -> float:
        party = worst_party(row, self._parties)
        return float(row[f"negative_time_{party}_s"]) if party else -1.0


def worst_party(row: Row, parties: Sequence[str]) -> str | None:
    """The party of a call with the most negative time; None if no emotion of any is known."""
    known = [each for each in parties if row[f"negative_time_{each}_s"] is not None]
    return max(known, key=lambda each: row[f"negative_time_{each}_s"], default=None)
