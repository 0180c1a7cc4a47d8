"""`--adapt`: a second pass over all scored segments, once the offset of the archive is known."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from batch_ser.results import (
    ARCHIVE,
    NONE,
    RECORDING,
    GroupSums,
    Key,
    Output,
    Segments,
    TableSchemas,
    rows_by_key,
    values_of,
    with_scores,
)
from jobs.recovery import recover_output
from models.offset_head import Offset
from models.offsets import ArchiveOffsets, digest_of_record
from models.scoring import Checkpoint

ROWS_AT_ONCE = 8_192


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
    sums: GroupSums = field(default_factory=GroupSums)  # of the archive and its conditions
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
            conditions = segments.conditions.tolist()
            self.sums.add(conditions, segments.recordings, segments.embeddings)
            if by not in (ARCHIVE, RECORDING):
                keys = _keys(rows, by, segments)
                self.values.add(keys, segments.recordings, segments.embeddings)

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
        keys: list[Key | None] = [None] * len(rows)
        if by not in (NONE, ARCHIVE):
            keys = _keys(rows, by, segments)
        if by == RECORDING:
            sums = GroupSums()
            sums.add(keys, segments.recordings, segments.embeddings)
        scores = np.zeros((len(rows), len(self.schemas.labels)), np.float32)
        for (key, condition), mine in _by_key_and_condition(keys, segments.conditions).items():
            scores[mine] = self.checkpoint.score_embeddings(
                segments.embeddings[mine],
                segments.durations_s[mine],
                self._offset_of(key, sums, condition),
                self.adaptation.expect,
            )
        return with_scores(rows, scores, self.schemas.labels)

    def _offset_of(self, key: Key | None, sums: GroupSums, condition: int) -> Offset | None:
        """The offset of a recording or a value; without a key, that of the condition."""
        if self.adaptation.by == NONE:
            return None
        parent = self.offsets.of(condition)
        if key is None:
            return parent
        return self.checkpoint.head.estimate("speaker", parent, sums.sums[key], self._shares)


def _keys(rows: pa.Table, by: str, segments: Segments) -> list[Key | None]:
    """The group of each row within its condition: an agent's headset is not a customer's line."""
    values = values_of(rows, by)
    pairs = zip(values, segments.conditions.tolist(), strict=True)
    return [None if value is None else (value, condition) for value, condition in pairs]


def _by_key_and_condition(
    keys: list[Key | None], conditions: NDArray[np.int64]
) -> dict[tuple[Key | None, int], NDArray[np.int64]]:
    """The rows that share an offset."""
    pairs = zip(keys, conditions.tolist(), strict=True)
    return rows_by_key(pairs)  # type: ignore[return-value]


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


def earlier_offset(adapt_from: str | None) -> dict[str, Any] | None:
    """The record of the offset in another output.

    Raises:
        UsageError: it has none.
    """
    if adapt_from is None:
        return None
    output = Output(Path(adapt_from))
    recover_output(output)
    record = output.run_record()
    if record is None or not isinstance(record.offset, dict):
        found = "no complete output" if record is None else "an output without an offset"
        raise UsageError(
            f"--adapt-from {adapt_from}: found {found}; expected what --out of a run with --adapt "
            "archive, recording or a column was"
        )
    return record.offset


def expect_metadata(checkpoint: Checkpoint, expect: str) -> str:
    """The expected mixture and the prior, for the metadata of the tables."""
    return json.dumps(checkpoint.expectation(expect).as_record(checkpoint.info.labels))
