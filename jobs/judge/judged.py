"""Labels of people beside what an output states about the same segments."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from batch_ser.labels import Label, Problem, RecordingNames, Segment, match
from jobs.agreement import Agreement
from jobs.judge.proportions import Array, Units
from jobs.label_tables import name_of, segments_of
from jobs.labels_by_file import labels_by_file
from jobs.scored_segments import ScoredSegments
from train.data import in_order

Answers = dict[str, str]  # label by annotator


@dataclass(frozen=True)
class Judged:
    """Labelled segments, and the archive that they are of.

    `truth` (segments, labels and others) are shares: of a segment about which two annotators
    disagree, each label has a half.
    """

    labels: tuple[str, ...]  # of the checkpoint
    others: tuple[str, ...]  # that only people use
    truth: Array
    probabilities: Array  # (segments, labels)
    weights: Array  # (segments,) 1 / the probability with which it was sampled; 1 if not known
    is_weighted: bool
    units: Units  # (segments,) number of the recording
    annotators: int
    agreement: Agreement  # of annotators, about segments that several labelled
    problems: Counter[str]  # rows of the labels without a segment, by reason
    archive: "Archive"

    @property
    def all_labels(self) -> tuple[str, ...]:
        return self.labels + self.others

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The number of the most probable label of each segment."""
        return np.asarray(self.probabilities.argmax(1), np.int64)

    @property
    def known(self) -> Array:
        """(segments, labels of the checkpoint) the same shares, without other labels."""
        return self.truth[:, : len(self.labels)]

    @property
    def recordings(self) -> int:
        return len(np.unique(self.units))


@dataclass
class Archive:
    """All segments of an output that a sample can hold, summed: crosstalk is left out."""

    segments: int = 0
    probabilities: dict[str, float] = field(default_factory=dict)  # their sums by label
    emotions: Counter[str] = field(default_factory=Counter)  # segments by predicted label

    def add(self, rows: pa.Table, labels: Sequence[str]) -> None:
        """Add the segments of a recording."""
        if "crosstalk" in rows.column_names:
            rows = rows.filter(pc.invert(pc.fill_null(rows["crosstalk"], False)))
        self.segments += len(rows)
        self.emotions.update(rows["emotion"].to_pylist())
        for label in labels:
            own = float(rows[f"p_{label}"].to_numpy().sum(dtype=np.float64))
            self.probabilities[label] = self.probabilities.get(label, 0.0) + own


@dataclass
class _Row:
    """One labelled segment."""

    probabilities: list[float]
    unit: int
    weight: float | None = None
    answers: Answers = field(default_factory=dict)


def read_judged(scored: ScoredSegments, path: Path) -> Judged:
    """Read labels, and the segments that they are about.

    Raises:
        UsageError: the labels cannot be read, or not one fits.
    """
    by_file, problems = labels_by_file(path, RecordingNames(scored.files()))
    archive, rows = Archive(), list[_Row]()
    for unit, (file, table) in enumerate(scored.by_file()):
        archive.add(table, scored.labels)
        mine = by_file.pop(file, None)
        if mine:
            rows += _join(table, mine, scored.labels, unit, problems)
    problems["no_segment"] += sum(map(len, by_file.values()))
    if not rows:
        found = ", ".join(f"{reason} {count}" for reason, count in problems.items() if count)
        raise UsageError(
            f"{path}: not one label fits a segment of {scored.output.out} "
            f"({found or 'no labels'}); expected what `batch-ser import-labels` wrote for this "
            "output"
        )
    return _judged(scored.labels, rows, +problems, archive)


def _join(
    table: pa.Table, labels: list[Label], known: Sequence[str], unit: int, problems: Counter[str]
) -> list[_Row]:
    """The labelled segments of a recording."""
    segments, found = segments_of(table), dict[Segment, _Row]()
    places = {segment: number for number, segment in enumerate(segments)}
    scores = [table[f"p_{label}"].to_pylist() for label in known]
    for label in labels:
        segment = match(label, segments)
        if isinstance(segment, Problem):
            problems[segment.reason] += 1
            continue
        own = [each[places[segment]] for each in scores]
        row = found.setdefault(segment, _Row(own, unit))
        row.weight = label.weight if row.weight is None else row.weight
        name = name_of(label.text, known)
        if row.answers.setdefault(label.annotator, name) != name:
            problems["contradicting"] += 1  # the first one of an annotator counts
    return list(found.values())


def _judged(
    labels: tuple[str, ...], rows: list[_Row], problems: Counter[str], archive: Archive
) -> Judged:
    answers = [list(row.answers.values()) for row in rows]
    others = in_order({name for each in answers for name in each} - set(labels))
    number = {name: i for i, name in enumerate(labels + others)}
    truth = np.zeros((len(rows), len(number)))
    agreement = Agreement()
    for i, row in enumerate(rows):
        for name in answers[i]:
            truth[i, number[name]] += 1 / len(answers[i])
        for one, other in combinations(sorted(row.answers), 2):
            agreement.add(row.answers[one], row.answers[other], 0.0)
    weights = [row.weight for row in rows]
    is_weighted = None not in weights
    return Judged(
        labels,
        others,
        truth,
        np.array([row.probabilities for row in rows], np.float64),
        np.array(weights if is_weighted else np.ones(len(rows)), np.float64),
        is_weighted,
        np.array([row.unit for row in rows], np.int64),
        len({who for row in rows for who in row.answers}),
        agreement,
        problems,
        archive,
    )
