"""`--adapt`: a second pass over all scored segments, once the offset of the archive is known.

Wherever embeddings are kept, every probability is made of them, also without adaptation: rows of an
earlier run never keep the offset or the prior that they had there.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch_ser.results import (
    ARCHIVE,
    NONE,
    RECORDING,
    UNSPLIT,
    GroupSums,
    Key,
    Segments,
    TableSchemas,
    rows_by_key,
    values_of,
    with_scores,
)
from models.offset_head import Offset
from models.offsets import ArchiveOffsets, digest_of_record
from models.scoring import Checkpoint

ROWS_AT_ONCE = 8_192
Part = tuple[Key | None, int]  # a recording or a column's value, if there is one; a condition


@dataclass(frozen=True)
class Adaptation:
    """`--adapt`, `--expect` and `--adapt-from`, of a checkpoint with an offset head."""

    by: str
    expect: str
    earlier: dict[str, Any] | None = None  # the record of an offset that is taken over

    def settings(self) -> dict[str, Any]:
        """Its settings in the fingerprint."""
        found = {"expect": self.expect} | ({} if self.by == NONE else {"adapt": self.by})
        return found | ({"adapt_from": digest_of_record(self.earlier)} if self.earlier else {})


@dataclass
class SecondPass:
    """Rows of the segments table as scored to rows with probabilities given their offsets."""

    checkpoint: Checkpoint
    schemas: TableSchemas  # of the rows as scored
    adaptation: Adaptation
    earlier: ArchiveOffsets | None = None  # taken over
    sums: GroupSums = field(default_factory=GroupSums)  # of the archive and its channel numbers
    values: GroupSums = field(default_factory=GroupSums)  # of a column's values within them

    @classmethod
    def of(
        cls, checkpoint: Checkpoint, schemas: TableSchemas, adaptation: Adaptation, source: str
    ) -> "SecondPass":
        """The second pass of an adaptation; `source` names where an offset is taken from.

        Raises:
            UsageError: that offset is another checkpoint's, or damaged.
            CheckpointError: the checkpoint has no offset head.
        """
        if adaptation.earlier is None:
            return cls(checkpoint, schemas, adaptation)
        numbers, digest = checkpoint.head.numbers, checkpoint.digest
        earlier = ArchiveOffsets.from_record(adaptation.earlier, numbers, digest, source)
        return cls(checkpoint, schemas, adaptation, earlier)

    def count(self, files: Iterable[pa.Table]) -> None:
        """Add up the embeddings of the archive, its conditions and the values of a column.

        Recordings are not counted here: the rows of each pass together in the second pass.
        """
        by = self.adaptation.by
        if by == NONE:
            return
        for rows in files:
            segments = Segments.of(rows, self.schemas)
            every = [ARCHIVE] * len(rows)
            self.sums.add(every, segments.recordings, segments.embeddings)
            channels = [None if each == UNSPLIT else each for each in segments.conditions.tolist()]
            self.sums.add(channels, segments.recordings, segments.embeddings)
            if by not in (ARCHIVE, RECORDING):
                _add_parts(self.values, _parts(rows, by, segments), segments)

    @cached_property
    def offsets(self) -> ArchiveOffsets:
        """The archive's offsets: taken over, or estimated once everything has been counted."""
        if self.earlier:
            return self.earlier
        return ArchiveOffsets.estimated(self.checkpoint.head, self.sums, self._shares)

    @property
    def _shares(self) -> NDArray[np.float64]:
        return self.checkpoint.expectation(self.adaptation.expect).offset

    def record(self) -> dict[str, Any] | None:
        """The offset for `run.json`; one that is taken over stays unchanged."""
        adaptation, checkpoint = self.adaptation, self.checkpoint
        if adaptation.by == NONE:
            return None
        if adaptation.earlier:
            return adaptation.earlier
        expect = checkpoint.expectation(adaptation.expect)
        return self.offsets.as_record(checkpoint.digest, expect, checkpoint.info.labels)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Rows of whole files with new probabilities."""
        return pa.concat_tables(self._scored(some) for some in _slices(rows))

    def _scored(self, rows: pa.Table) -> pa.Table:
        segments = Segments.of(rows, self.schemas)
        by, sums = self.adaptation.by, self.values
        parts = _parts(rows, by, segments)
        if by == RECORDING:
            _add_parts(sums := GroupSums(), parts, segments)
        scores = np.zeros((len(rows), len(self.schemas.labels)), np.float32)
        for part, mine in rows_by_key(parts).items():
            scores[mine] = self.checkpoint.score_embeddings(
                segments.embeddings[mine],
                segments.durations_s[mine],
                self._offset_of(part, sums),
                self.adaptation.expect,
            )
        return with_scores(rows, scores, self.schemas.labels)

    def _offset_of(self, part: Part, sums: GroupSums) -> Offset | None:
        """The offset of a recording or a value; without one, that of the condition."""
        if self.adaptation.by == NONE:
            return None
        value, condition = part
        if value is None:
            return self.offsets.of(condition)
        own = sums.sums[part]
        return self.offsets.of_part(self.checkpoint.head, condition, own, self._shares)


def _parts(rows: pa.Table, by: str, segments: Segments) -> list[Part]:
    """The rows' values and conditions: an agent's headset is not a customer's line."""
    none: list[Key | None] = [None] * len(rows)
    values = none if by in (NONE, ARCHIVE) else values_of(rows, by)
    return list(zip(values, segments.conditions.tolist(), strict=True))


def _add_parts(sums: GroupSums, parts: list[Part], segments: Segments) -> None:
    """Add up the embeddings of parts that have a value."""
    keys = [None if part[0] is None else part for part in parts]
    sums.add(keys, segments.recordings, segments.embeddings)


def _slices(rows: pa.Table) -> Iterator[pa.Table]:
    """Slices of about `ROWS_AT_ONCE` rows with all rows of their files.

    They bound the memory: what is computed from a slice in float64 is many times its size.
    """
    names = rows["file"].to_pylist()
    start = 0
    for at in range(1, len(names) + 1):
        if at == len(names) or (at - start >= ROWS_AT_ONCE and names[at] != names[at - 1]):
            yield rows.slice(start, at - start)
            start = at


def expect_metadata(checkpoint: Checkpoint, expect: str) -> str:
    """The expected mixture and the prior, for the metadata of the tables."""
    return json.dumps(checkpoint.expectation(expect).as_record(checkpoint.info.labels))
