"""`--adapt`: a second pass over what was scored, when the offset of the archive is known."""

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
from models.offset_head import Offset
from models.offsets import ArchiveOffsets, digest_of_record
from models.scoring import Checkpoint

AT_ONCE = 8_192  # rows


@dataclass(frozen=True)
class Adaptation:
    """What `--adapt`, `--expect` and `--adapt-from` ask of a checkpoint with an offset head."""

    by: str
    expect: str
    given: dict[str, Any] | None = None  # the record of an offset that is taken over

    def settings(self) -> dict[str, Any]:
        """What a fingerprint says of it."""
        found = {"expect": self.expect} | ({} if self.by == NONE else {"adapt": self.by})
        return found | ({"adapt_from": digest_of_record(self.given)} if self.given else {})


@dataclass
class Adapter:
    """Rows of the segments table as scored to rows with probabilities given their offsets."""

    checkpoint: Checkpoint
    schemas: TableSchemas  # of the rows as scored
    adaptation: Adaptation
    given: ArchiveOffsets | None = None  # the archive's, taken over
    sums: GroupSums = field(default_factory=GroupSums)  # of the archive and its conditions
    parts: GroupSums = field(default_factory=GroupSums)  # of a column's values within them

    def count(self, files: Iterable[pa.Table]) -> None:
        """The first pass, file by file.

        Not for recordings: the sums of each are taken when it passes.
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
                self.parts.add(_keys(rows, by, segments), segments.recordings, segments.embeddings)

    @cached_property
    def offsets(self) -> ArchiveOffsets:
        """The archive's, when everything has been counted, or as taken over."""
        head = self.checkpoint.head
        if self.given:
            return self.given
        return ArchiveOffsets.estimated(head, self.sums, self._shares)

    @property
    def _shares(self) -> NDArray[np.float64]:
        return self.checkpoint.expectation(self.adaptation.expect).offset

    def record(self) -> dict[str, Any]:
        """What `run.json` says of the offset; one that was taken over as it was taken."""
        adaptation, checkpoint = self.adaptation, self.checkpoint
        if adaptation.by == NONE:
            return {"offset": None}
        if adaptation.given:
            return {"offset": adaptation.given}
        expect = checkpoint.expectation(adaptation.expect)
        labels = checkpoint.info.labels
        return {"offset": self.offsets.as_record(checkpoint.digest, expect, labels)}

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The second pass: rows of whole files with other probabilities."""
        return pa.concat_tables(self._scored(some) for some in _whole_files(rows))

    def _scored(self, rows: pa.Table) -> pa.Table:
        segments = Segments.of(rows, self.schemas)
        by, parts = self.adaptation.by, self.parts
        keys: list[Key | None] = [None] * len(rows)
        if by not in (NONE, ARCHIVE):
            keys = _keys(rows, by, segments)
        if by == RECORDING:
            parts = GroupSums()
            parts.add(keys, segments.recordings, segments.embeddings)
        scores = np.zeros((len(rows), len(self.schemas.labels)), np.float32)
        for (key, condition), mine in _by_key_and_condition(keys, segments.conditions).items():
            scores[mine] = self.checkpoint.score_embeddings(
                segments.embeddings[mine], segments.durations_s[mine],
                self._offset_of(key, parts, condition), self.adaptation.expect,
            )  # fmt: skip
        return with_scores(rows, scores, self.schemas.labels)

    def _offset_of(self, key: Key | None, parts: GroupSums, condition: int) -> Offset | None:
        """Of a recording or a value; where there is none, of the condition."""
        if self.adaptation.by == NONE:
            return None
        parent = self.offsets.of(condition)
        if key is None:
            return parent
        return self.checkpoint.head.estimate("speaker", parent, parts.sums[key], self._shares)


def _keys(rows: pa.Table, by: str, segments: Segments) -> list[Key | None]:
    """Whose each row is, within its condition: an agent's headset is not her customers' line."""
    values = values_of(rows, by)
    pairs = zip(values, segments.conditions.tolist(), strict=True)
    return [None if value is None else (value, condition) for value, condition in pairs]


def _by_key_and_condition(
    keys: list[Key | None], conditions: NDArray[np.int64]
) -> dict[tuple[Key | None, int], NDArray[np.int64]]:
    """The rows that share an offset."""
    pairs = zip(keys, conditions.tolist(), strict=True)
    return rows_by_key(pairs)  # type: ignore[return-value]


def _whole_files(rows: pa.Table) -> Iterator[pa.Table]:
    """Slices of about `AT_ONCE` rows that hold all rows of their files: what is computed of a
    slice in float64 is many times its size.
    """
    names = rows["file"].to_pylist()
    start = 0
    for at in range(1, len(names) + 1):
        if at == len(names) or (at - start >= AT_ONCE and names[at] != names[at - 1]):
            yield rows.slice(start, at - start)
            start = at


def taken_over(adapt_from: str | None) -> dict[str, Any] | None:
    """The offset that another output holds.

    Raises:
        UsageError: it holds none.
    """
    if adapt_from is None:
        return None
    record = Output(Path(adapt_from)).run_record()
    if record is None or not isinstance(record.get("offset"), dict):
        found = "no complete output" if record is None else "an output without an offset"
        raise UsageError(
            f"--adapt-from {adapt_from}: found {found}; expected what --out of a run with --adapt "
            "archive, recording or a column was"
        )
    offset: dict[str, Any] = record["offset"]
    return offset


def adapter_of(
    checkpoint: Checkpoint, schemas: TableSchemas, adaptation: Adaptation, place: str = ""
) -> Adapter:
    """The second pass; `place` names where an offset was taken from.

    Raises:
        UsageError: that offset is another checkpoint's, or damaged.
        CheckpointError: the checkpoint has no offset head.
    """
    given = None
    if adaptation.given is not None:
        numbers = checkpoint.head.numbers
        given = ArchiveOffsets.from_record(adaptation.given, numbers, checkpoint.digest, place)
    return Adapter(checkpoint, schemas, adaptation, given)


def expect_metadata(checkpoint: Checkpoint, expect: str) -> str:
    """What the tables say of the expected mixture and the prior."""
    return json.dumps(checkpoint.expectation(expect).as_record(checkpoint.info.labels))
