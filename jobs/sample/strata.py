"""Strata of the segments of an output: label by confidence, and the least certain ones.

The table of segments is read twice, in batches: where thirds of the confidence begin is known after
the first time, and how many segments each cell has after the second. Histograms of confidences and
margins make that exact: edges are edges of bins.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch_ser.errors import UsageError

BINS = 4_096  # of probabilities from 0 to 1
THIRDS = ("low", "middle", "high")
LEAST_CERTAIN = 0.1  # share of all segments, those with the lowest margins
ROWS_AT_ONCE = 65_536
MOST_GROUPS = 10_000
NO_VALUE = "(none)"  # of the column of groups
SCORED = ("emotion", "confidence", "crosstalk")
Bins = NDArray[np.int64]


class Cell(NamedTuple):
    """Segments that have the same chance to be drawn."""

    group: str  # value of `--by`; empty without it
    label: int
    third: int  # of the confidences of this label
    is_uncertain: bool  # among those with the lowest margins

    def name(self, labels: Sequence[str]) -> str:
        parts = [labels[self.label], THIRDS[self.third]]
        parts = [self.group, *parts] if self.group else parts
        return "/".join(parts + ["uncertain"] * self.is_uncertain)


class Scores(NamedTuple):
    """What strata are made of, of a batch (n,): crosstalk is no part of the sample."""

    eligible: NDArray[np.bool_]
    labels: Bins  # numbers of the checkpoint's labels
    confidences: Bins  # their bins
    margins: Bins  # bins of how much more probable the first label is than the second
    groups: Bins


@dataclass
class ScoreReader:
    """Reads a table of segments again and again."""

    paths: Sequence[Path]
    labels: Sequence[str]
    by: str | None = None
    groups: dict[str, int] = field(default_factory=dict)  # numbers, in order of appearance

    def batches(self, further: Sequence[str] = ()) -> Iterator[tuple[Scores, pa.RecordBatch]]:
        """Each batch of rows with its scores, and with the columns `further`."""
        columns = [*SCORED, *(f"p_{label}" for label in self.labels), *further]
        columns += [self.by] if self.by else []
        for path in self.paths:
            # pre_buffer would hold the columns of the whole file
            with pq.ParquetFile(path, pre_buffer=False) as parquet:
                for batch in parquet.iter_batches(ROWS_AT_ONCE, columns=columns):
                    yield self._scores(batch), batch

    def _scores(self, batch: pa.RecordBatch) -> Scores:
        labels = pc.index_in(batch["emotion"].cast(pa.string()), pa.array(self.labels))
        probabilities = np.stack([_floats(batch[f"p_{label}"]) for label in self.labels], axis=1)
        ordered = np.sort(probabilities, axis=1)
        second = ordered[:, -2] if len(self.labels) > 1 else 0.0
        crosstalk = pc.fill_null(batch["crosstalk"], False)
        return Scores(
            ~crosstalk.to_numpy(zero_copy_only=False) & labels.is_valid().to_numpy(False),
            labels.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64),
            _bins(_floats(batch["confidence"])),
            _bins(ordered[:, -1] - second),
            self._groups(batch),
        )

    def _groups(self, batch: pa.RecordBatch) -> Bins:
        """The numbers of the groups (n,).

        Raises:
            UsageError: there are too many.
        """
        if not self.by:
            self.groups.setdefault("", 0)
            return np.zeros(len(batch), np.int64)
        encoded = batch[self.by].cast(pa.string()).fill_null(NO_VALUE).dictionary_encode()
        for value in encoded.dictionary.to_pylist():
            self.groups.setdefault(value or NO_VALUE, len(self.groups))
        if len(self.groups) > MOST_GROUPS:
            raise UsageError(
                f"--by {self.by}: found more than {MOST_GROUPS:,} values; expected a column with "
                "fewer"
            )
        numbers = [self.groups[value or NO_VALUE] for value in encoded.dictionary.to_pylist()]
        found: Bins = np.array(numbers, np.int64)[encoded.indices.to_numpy(zero_copy_only=False)]
        return found


def _floats(column: pa.Array) -> NDArray[np.float64]:
    found: NDArray[np.float64] = column.to_numpy(zero_copy_only=False).astype(np.float64)
    return found


def _bins(probabilities: NDArray[np.float64]) -> Bins:
    found: Bins = np.clip((probabilities * BINS).astype(np.int64), 0, BINS - 1)
    return found


@dataclass(frozen=True)
class Edges:
    """Where thirds and the least certain segments end: the last bin of each."""

    thirds: Bins  # (labels, 2) of confidences
    uncertain: int  # of margins; -1: no segment is taken as such

    @classmethod
    def read(cls, reader: ScoreReader, least: int) -> "Edges":
        """Of all segments; at least `least` of them are the least certain, and none if it is 0."""
        confidences = np.zeros((len(reader.labels), BINS), np.int64)
        margins = np.zeros(BINS, np.int64)
        for scores, _ in reader.batches():
            taken = scores.eligible
            np.add.at(confidences, (scores.labels[taken], scores.confidences[taken]), 1)
            margins += np.bincount(scores.margins[taken], minlength=BINS)
        below = confidences.cumsum(axis=1)
        thirds = [
            [np.searchsorted(each, each[-1] * part / 3, "left") for part in (1, 2)]
            for each in below
        ]
        wanted = min(max(least, LEAST_CERTAIN * margins.sum()), margins.sum())
        last = int(np.searchsorted(margins.cumsum(), wanted, "left")) if least else -1
        return cls(np.array(thirds), last)

    def codes(self, scores: Scores, labels: int) -> Bins:
        """A number for the cell of each row (n,), that `cell_of` reads."""
        thirds = (scores.confidences[:, None] > self.thirds[scores.labels]).sum(axis=1)
        cells = (scores.groups * labels + scores.labels) * len(THIRDS) + thirds
        codes: Bins = cells * 2 + (scores.margins <= self.uncertain)
        return codes


def cell_of(code: int, labels: int, groups: Sequence[str]) -> Cell:
    rest, is_uncertain = divmod(code, 2)
    rest, third = divmod(rest, len(THIRDS))
    group, label = divmod(rest, labels)
    return Cell(groups[group], label, third, bool(is_uncertain))


def count_cells(reader: ScoreReader, edges: Edges) -> dict[int, int]:
    """How many segments each cell has, by its code."""
    found: Counter[int] = Counter()
    for scores, _ in reader.batches():
        codes = edges.codes(scores, len(reader.labels))[scores.eligible]
        numbers, counts = np.unique(codes, return_counts=True)
        found.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
    return dict(found)
