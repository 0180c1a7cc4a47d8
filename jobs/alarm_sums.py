"""Sums over the rows of an output, streamed while its final tables are written, for the alarms."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch_ser.results import NONE, Alarm, RunRecord, TableSchemas
from jobs.alarms import MIN_SEGMENTS, Figures, alarms
from jobs.second_pass import ROWS_AT_ONCE, Adaptation
from models.expectation import BALANCED
from models.offset_head import Offset, OffsetHead
from models.scoring import Checkpoint

Floats = NDArray[np.float64]


@dataclass
class AlarmSums:
    """Sums of one output's rows; memory does not grow with them."""

    checkpoint: Checkpoint
    schemas: TableSchemas
    adaptation: Adaptation | None  # of a checkpoint with an offset head
    segments: int = 0
    evidence: Floats = field(init=False)  # (labels,)
    squares: Floats = field(init=False)  # (labels,)
    unadapted: Floats = field(init=False)  # (labels,): segments
    moved: int = 0

    def __post_init__(self) -> None:
        labels = len(self.schemas.labels)
        self.evidence, self.squares, self.unadapted = (np.zeros(labels) for _ in range(3))

    @property
    def is_adapted(self) -> bool:
        return self.adaptation is not None and self.adaptation.by != NONE

    @property
    def _prior(self) -> Floats:
        """The prior of the final probabilities (labels,); 1 where none is known."""
        if self.adaptation is None:
            return np.ones(len(self.schemas.labels))
        return self.checkpoint.expectation(self.adaptation.expect).prior

    def add(self, rows: pa.Table) -> None:
        """Add rows of the segments table with final probabilities, and with their embeddings."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            self._add(rows.slice(start, ROWS_AT_ONCE))

    def _add(self, rows: pa.Table) -> None:
        columns = [rows[f"p_{label}"].to_numpy() for label in self.schemas.labels]
        scores = np.stack(columns, axis=1).astype(np.float64)
        evidence = evidence_of(scores, self._prior)
        self.segments += len(rows)
        self.evidence += evidence.sum(0)
        self.squares += np.square(evidence).sum(0)
        if self.is_adapted:
            usual = self._at_the_usual_offset(rows)
            self.unadapted += np.bincount(usual.argmax(1), minlength=usual.shape[1])
            self.moved += int(((usual * self._prior).argmax(1) != scores.argmax(1)).sum())

    def _at_the_usual_offset(self, rows: pa.Table) -> Floats:
        """Probabilities (n, labels) without adaptation, of equally likely labels."""
        durations_s = rows["end_s"].to_numpy() - rows["start_s"].to_numpy()
        embeddings = self.schemas.embeddings_of(rows)
        usual = self.checkpoint.score_embeddings(embeddings, durations_s, None, BALANCED)
        return usual.astype(np.float64)

    def found(self, record: RunRecord) -> list[Alarm]:
        """The alarms, once all rows were added; `record` has the output's counts and offset."""
        return alarms(self.figures(record))

    def figures(self, record: RunRecord) -> Figures:
        """What the rules look at."""
        counts, seconds = record.counts, record.counts.seconds
        labels, settings = self.schemas.labels, record.fingerprint
        expect = self.adaptation.expect if self.adaptation else None
        prior = self._prior.tolist() if expect else []
        return Figures(
            files=counts.files_in - counts.files["failed"],
            segments=self.segments,
            asked_s=seconds["decoded_s"] - seconds["not_asked_s"],
            scored_s=seconds["scored_s"],
            dual_mono=counts.notes["dual_mono"],
            role_missing=counts.reasons["role_missing"],
            has_roles="roles" in settings or "roles_column" in settings,
            expect=expect,
            expected=dict(zip(labels, prior, strict=False)),
            emotions=counts.emotions,
            spread=self._spread(),
            unadapted=_counts(labels, self.unadapted) if self.is_adapted else None,
            moved=self.moved if self.is_adapted else None,
            distance=self._distance(record.offset) if record.offset else None,
        )

    def _spread(self) -> float | None:
        if not self.segments or np.count_nonzero(self._prior) < 2:
            return None  # --expect leaves one label
        variances = self.squares / self.segments - np.square(self.evidence / self.segments)
        return float(np.sqrt(np.maximum(variances, 0).sum()))

    def _distance(self, record: Mapping[str, Any]) -> float:
        """How far the offset of the archive, or of a channel number, is from the usual one.

        The root mean square over its numbers, in standard deviations: offsets of archives have the
        variance `conditions` around the usual one, and those of channel numbers around theirs.
        """
        head = self.checkpoint.head
        channels = (record.get("channels") or {}).values()
        enough = [each for each in channels if each["segments"] >= MIN_SEGMENTS]
        variances = [1, *(2 for _ in enough)]
        return max(
            _distance(head, Offset.from_record(each, head.numbers), variance)
            for each, variance in zip([record, *enough], variances, strict=True)
        )


def _distance(head: OffsetHead, offset: Offset, variance: int) -> float:
    """The distance of an offset whose variance is that many times `conditions`."""
    squared = np.square(offset.values - head.usual_offset().values).mean()
    return float(np.sqrt(squared / max(variance * float(head.conditions), 1e-9)))


def evidence_of(scores: Floats, prior: Floats) -> Floats:
    """Probabilities (n, labels) without their prior (labels,): divided by it, and normed."""
    found = np.divide(scores, prior, out=np.zeros_like(scores), where=prior > 0)
    return np.asarray(found / found.sum(1, keepdims=True))


def _counts(labels: tuple[str, ...], segments: Floats) -> Counter[str]:
    return Counter({label: int(n) for label, n in zip(labels, segments, strict=True)})
