"""A checkpoint's head and labelled segments: the head moved by some of them, scores by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from batch_ser.results import Sums, rounded
from models.expectation import BALANCED, NATURAL, NATURAL_SHARES, NEUTRAL, parse_expectation
from models.offset_head import Offset, posterior
from models.scoring import Checkpoint
from train.data import Utterance, in_order
from train.evaluation import Predictions, embed_utterances
from train.fitting import Labelled, MovedHead, Start, best_temperature, move_head
from train.recipes import HeadSettings

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Embedded:
    """Labelled segments, embedded by the checkpoint whose head is moved, and their archive."""

    utterances: tuple[Utterance, ...]
    embeddings: Floats  # (n, width)
    durations_s: Floats  # (n,)
    archive: Sums  # of all its segments, or of these
    expect: str = BALANCED  # the mixture by which the archive's offset is estimated
    offset: Offset | None = None  # the archive's, where a job estimated it

    @classmethod
    def of_recordings(cls, checkpoint: Checkpoint, utterances: Sequence[Utterance]) -> "Embedded":
        """Recordings are embedded as in a job; together they are the archive."""
        embeddings, durations_s = embed_utterances(checkpoint, utterances)
        stored = rounded(embeddings).astype(np.float64)
        recordings = len({each.path for each in utterances})
        sums = Sums(stored.sum(0), len(stored), recordings)
        return cls(tuple(utterances), stored, durations_s, sums)

    @cached_property
    def speakers(self) -> list[str]:
        """Of each segment the speaker; of an unknown one the recording and its channel."""
        return [each.speaker or f"{each.path}\n{each.channel}" for each in self.utterances]

    def rows(self, chosen: Rows) -> tuple[Utterance, ...]:
        """The segments of some rows."""
        return tuple(self.utterances[row] for row in chosen)


@dataclass(frozen=True)
class OwnHead:
    """The head of a checkpoint for the labels of segments, before any of these moves it."""

    checkpoint: Checkpoint
    embedded: Embedded
    settings: HeadSettings
    chosen: tuple[str, ...] = ()  # labels; none: those of the checkpoint, and the segments' own

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Of the new head."""
        found = (each.label for each in self.embedded.utterances)
        return self.chosen or in_order({*self.checkpoint.info.labels, *found})

    @cached_property
    def offset(self) -> Offset:
        """The archive's, without any label."""
        head, embedded = self.checkpoint.head, self.embedded
        shares = self.checkpoint.expectation(embedded.expect).offset
        usual = head.usual_offset()
        return embedded.offset or head.estimate("archive", usual, embedded.archive, shares)

    @cached_property
    def labelled(self) -> Labelled:
        embedded = self.embedded
        return Labelled(
            embedded.embeddings,
            np.array([self.labels.index(each.label) for each in embedded.utterances]),
            np.unique(embedded.speakers, return_inverse=True)[1],
            embedded.durations_s,
            np.array([each.weight for each in embedded.utterances]),
        )

    @cached_property
    def _start(self) -> Start:
        known, archive = self.checkpoint.info.labels, self.embedded.archive
        columns = [known.index(each) if each in known else None for each in self.labels]
        mean = archive.total / max(archive.segments, 1)
        return Start.of(self.checkpoint.head, columns, mean, self.offset)

    def moved(self, rows: Rows) -> MovedHead:
        """The head, moved by some of the segments."""
        labelled = self.labelled.rows(rows)
        return move_head(self.checkpoint.head, labelled, self._start, self.settings)

    def likelihoods(self, moved: MovedHead, rows: Rows, *, by_archive: bool) -> Floats:
        """Log-likelihoods (n, labels) of segments, at the usual offset or at the archive's."""
        head, archive = moved.head, self.embedded.archive
        offset = head.usual_offset()
        if by_archive:
            sums = Sums(moved.axes @ archive.total, archive.segments, archive.recordings)
            offset = head.estimate("archive", offset, sums, self.shares)
        embeddings = moved.embed(self.embedded.embeddings[rows])
        return head.log_likelihoods(embeddings, self.embedded.durations_s[rows], offset)

    @cached_property
    def shares(self) -> Floats:
        """The expected shares of the new head's labels, as a job with it expects them.

        Where the output's `--expect` names labels: theirs, and of a label that is new, none.
        """
        info, expect = self.checkpoint.info, self.embedded.expect
        if expect in (NATURAL, BALANCED):
            expect = expect if NEUTRAL in self.labels else BALANCED
            return parse_expectation(expect, self.labels, NATURAL_SHARES | info.natural).offset
        found = self.checkpoint.expectation(expect).offset
        known = dict(zip(info.labels, found, strict=True))
        shares = np.array([known.get(each, 0.0) for each in self.labels])
        even = np.full(len(self.labels), 1 / len(self.labels))
        return shares / shares.sum() if shares.sum() > 0 else even

    def temperature(self, likelihoods: Floats, rows: Rows) -> float:
        """Of probabilities, by log-likelihoods (n, labels) of segments that were held out.

        The fewer they are, the nearer it is to that of the checkpoint.
        """
        start, strength = self.checkpoint.info.temperature, self.settings.temperature_strength
        found = best_temperature(likelihoods, self.labelled.labels[rows])
        logs = strength * np.log(start) + len(rows) * np.log(found)
        return float(np.exp(logs / (strength + len(rows))))

    def predictions(
        self, likelihoods: Floats, temperature: float, rows: Rows, fold: str
    ) -> Predictions:
        """Of segments by their log-likelihoods (n, labels), where labels are balanced."""
        even = np.full(len(self.labels), 1 / len(self.labels))
        scores = posterior(likelihoods, even, temperature)
        return Predictions(self.embedded.rows(rows), self.labels, scores, (fold,) * len(rows))

    def before(self, rows: Rows, fold: str) -> Predictions:
        """What the checkpoint itself makes of segments, at the archive's offset."""
        scores = self.checkpoint.score_embeddings(
            self.embedded.embeddings[rows], self.embedded.durations_s[rows], self.offset, BALANCED
        )
        labels = self.checkpoint.info.labels
        return Predictions(self.embedded.rows(rows), labels, scores, (fold,) * len(rows))
