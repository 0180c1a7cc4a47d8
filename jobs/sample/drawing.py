"""The draw: as many segments of each cell as the design states, all with the same chance.

A third pass over the table gives each segment a random number and keeps the smallest of each cell:
memory holds the sample. Random numbers follow the rows, so the same output draws the same.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.sample.design import Shares, expected_counts, whole_counts
from jobs.sample.strata import Edges, ScoreReader, cell_of, count_cells
from jobs.sample.task import Task

IDENTITY = ("file", "channel", "segment", "start_s", "end_s")
SECOND = 0.1  # share of the tasks that a second annotator gets, too
DIGITS = 6  # of a confidence, which is a float32
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Drawn:
    """The tasks of a sample, in random order, without clips."""

    tasks: list[Task]
    segments: int  # that they are drawn from


@dataclass
class Stratum:
    """The segments of a cell that are drawn so far: those with the smallest random numbers."""

    name: str
    weight: float
    count: int

    def __post_init__(self) -> None:
        self._heap: list[tuple[float, int, Row]] = []  # of negative numbers: the largest is first
        self._added = 0

    @property
    def limit(self) -> float:
        """A segment with a larger number is not drawn."""
        return -self._heap[0][0] if len(self._heap) == self.count else 1.0

    def add(self, number: float, row: Row) -> None:
        self._added += 1  # rows are not compared
        item = (-number, self._added, row)
        if len(self._heap) < self.count:
            heapq.heappush(self._heap, item)
        else:
            heapq.heappushpop(self._heap, item)

    def tasks(self) -> list[Task]:
        rows = sorted(self._heap, key=lambda item: item[:2], reverse=True)
        return [
            Task(
                clip="",
                **{name: row[name] for name in IDENTITY},
                label=row["emotion"],
                confidence=float(f"{row['confidence']:.{DIGITS}g}"),
                stratum=self.name,
                weight=self.weight,
                second=0,
            )
            for _, _, row in rows
        ]


def draw(reader: ScoreReader, shares: Shares, seed: int) -> Drawn:
    """Draw the tasks of a sample; none, if there are no segments."""
    rounding, numbers, order, second = np.random.default_rng(seed).spawn(4)
    edges = Edges.read(reader, 2 * shares.least_certain)  # twice, so that chance decides among them
    sizes = count_cells(reader, edges)
    strata = _strata(reader, sizes, shares, rounding.random())
    _fill(reader, edges, strata, numbers)
    tasks = [task for code in sorted(strata) for task in strata[code].tasks()]
    tasks = [tasks[number] for number in order.permutation(len(tasks))]
    twice = set(second.permutation(len(tasks))[: -(-len(tasks) // round(1 / SECOND))].tolist())
    tasks = [replace(task, second=int(number in twice)) for number, task in enumerate(tasks)]
    return Drawn(tasks, sum(sizes.values()))


def _strata(
    reader: ScoreReader, sizes: Mapping[int, int], shares: Shares, start: float
) -> dict[int, Stratum]:
    """By the codes of their cells, those of which a segment is drawn."""
    groups, labels = list(reader.groups), reader.labels
    codes = {code: cell_of(code, len(labels), groups) for code in sizes}
    ordered = sorted(codes, key=lambda code: codes[code])
    cells, counts = [codes[code] for code in ordered], np.array([sizes[code] for code in ordered])
    expected = expected_counts(cells, counts, shares)
    drawn = whole_counts(expected, start)
    return {
        code: Stratum(cell.name(labels), float(size / mean), int(count))
        for code, cell, size, mean, count in zip(
            ordered, cells, counts, expected, drawn, strict=True
        )
        if count
    }


def _fill(
    reader: ScoreReader,
    edges: Edges,
    strata: Mapping[int, Stratum],
    numbers: np.random.Generator,
) -> None:
    """Offer each segment to its cell."""
    known = np.array(sorted(strata), np.int64)
    for scores, batch in reader.batches(IDENTITY):
        drawn: NDArray[np.float64] = numbers.random(len(batch))
        if not len(known):
            continue
        limits = np.array([strata[code].limit for code in known.tolist()])
        codes = edges.codes(scores, len(reader.labels))
        at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
        offered = scores.eligible & (known[at] == codes) & (drawn < limits[at])
        chosen = np.flatnonzero(offered)
        rows = batch.select([*IDENTITY, "emotion", "confidence"]).take(chosen).to_pylist()
        for place, row in zip(chosen.tolist(), rows, strict=True):
            strata[int(codes[place])].add(float(drawn[place]), row)
