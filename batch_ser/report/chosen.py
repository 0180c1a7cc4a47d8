"""Which calls a report shows: the angriest ones, and a control group that is drawn at random.

Calls are ordered by their loudest anger. Negative time grows with a call's length, and finds calls
that turn angry hardly better than chance: docs/results.md, "The table of calls". Memory is that of
the calls which are kept, however many there are.
"""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np

SEED = 0
Row = Mapping[str, Any]
Rank = tuple[float, float]  # the anger peak, then negative time: higher is first
UNKNOWN = (-1.0, -1.0)


class Sample(StrEnum):
    """Why a call is singled out."""

    STRONGEST = "strongest"  # its loudest anger is among the highest
    CONTROL = "control"  # drawn at random, to compare with


@dataclass
class _Highest:
    """The rows with the highest values; of equal ones the first."""

    most: int
    _heap: list[tuple[Rank, int, Row]] = field(default_factory=list)

    def add(self, value: Rank, number: int, row: Row) -> None:
        if self.most:
            keep = heapq.heappushpop if len(self._heap) == self.most else heapq.heappush
            keep(self._heap, (value, -number, row))  # numbers differ: rows are not compared

    @property
    def rows(self) -> list[Row]:
        """In order."""
        return [row for *_, row in sorted(self._heap, key=lambda each: each[:2], reverse=True)]


class ChosenCalls:
    """Rows of the table of calls are added one by one, in the order of the table.

    `parties` are those by which calls are ordered, such as the customer. A call counts by the
    angriest one.
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
        rank = self._rank(row)
        self._highest.add(rank, self.count, row)
        self.count += 1
        if rank == UNKNOWN:
            return
        self._draw_control(row)
        self._strongest.add(rank, self.count, row)

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
        """The calls of the samples and the angriest ones, in order."""
        named = {row["file"]: row for row in (*self._strongest.rows, *self._control)}
        others = [row for row in self._highest.rows if row["file"] not in named]
        kept = [*named.values(), *others[: self._most - len(named)]]
        by_name = sorted(kept, key=lambda row: str(row["file"]))
        return sorted(by_name, key=self._rank, reverse=True)

    def _rank(self, row: Row) -> Rank:
        return max((rank_of(row, party) for party in self._parties), default=UNKNOWN)


def worst_party(row: Row, parties: Sequence[str]) -> str | None:
    """The angriest party of a call; None if no emotion of any is known."""
    worst = max(parties, key=lambda party: rank_of(row, party), default=None)
    return worst if worst and rank_of(row, worst) > UNKNOWN else None


def rank_of(row: Row, party: str) -> Rank:
    """Where a party of a call stands: a checkpoint without the label angry has no peaks."""
    values = row[f"anger_peak_{party}"], row[f"negative_time_{party}_s"]
    peak, negative_s = (-1.0 if value is None else float(value) for value in values)
    return peak, negative_s
