"""Recordings that a fit of the offset head left out: spreads of offsets, and calibration.

Each corpus in turn is left out of a fit, and scored as a job would, with an offset estimated from
its own recordings. A training on one corpus leaves a part of its speakers out instead, and takes
the spreads from the recipe.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from batch_ser.results import Sums
from models.expectation import NEUTRAL
from models.offset_head import OffsetHead
from train.fitting.calibration import best_temperature, weighted_loss
from train.fitting.discriminant import (
    Discriminant,
    Floats,
    Numbers,
    Sample,
    fit_discriminant,
)
from train.recipes import LDASettings

PARTS = 4  # of a single corpus's speakers
SHORT_S = (0.0, 0.25, 0.5, 1.0, 2.0)  # that are tried
FEWEST = 4  # recordings of a speaker whose mean counts for the spread between speakers


def parts_left_out(
    sample: Sample, labels: Sequence[str], width: int, settings: LDASettings
) -> "list[Part]":
    """Each corpus, embedded by a fit on the others; of a single corpus parts of its speakers."""
    neutral = labels.index(NEUTRAL) if NEUTRAL in labels else None
    return [
        Part.of(fit_discriminant(fitted, len(labels), width, neutral, settings), left_out)
        for fitted, left_out in _left_out(sample)
    ]


def _left_out(sample: Sample) -> Iterator[tuple[Sample, Sample]]:
    """The rows to fit on, and the part left out: a corpus in turn, or speakers."""
    ordinary = sample.is_ordinary
    parts = np.where(ordinary, -1, sample.corpora)
    if len(np.unique(parts[~ordinary])) == 1:
        known = bool((sample.speakers[~ordinary] >= 0).all())
        parts = np.where(ordinary, -1, _parts_of_one_corpus(sample, by_speaker=known))
    for part in np.unique(parts[~ordinary]):
        fitted = sample.rows(parts != part)
        left_out = sample.rows(parts == part)
        left_out = left_out.rows(np.isin(left_out.labels, fitted.labels))
        labels = (fitted.labels[~fitted.is_ordinary], left_out.labels)
        if all(len(np.unique(each)) > 1 for each in labels):
            yield fitted, left_out


def _parts_of_one_corpus(sample: Sample, *, by_speaker: bool) -> Numbers:
    """A part's number for each row (n,): speakers in turn, or the recordings of each label."""
    if by_speaker:
        return np.asarray(np.unique(sample.speakers, return_inverse=True)[1] % PARTS)
    numbers = np.unique(sample.recordings, return_inverse=True)[1]
    label_of = np.zeros(numbers.max() + 1, np.int64)
    label_of[numbers] = sample.labels
    turns = np.empty(len(label_of), np.int64)
    turns[np.argsort(label_of, kind="stable")] = np.arange(len(label_of)) % PARTS
    return np.asarray(turns[numbers])


@dataclass(frozen=True)
class Part:
    """Recordings that a fit left out, embedded by it."""

    fitted: Discriminant
    sample: Sample
    embeddings: Floats  # (n, numbers)
    present: Numbers  # the labels that it has
    offset: Floats  # (numbers,): the mean over its labels

    @classmethod
    def of(cls, fitted: Discriminant, sample: Sample) -> "Part":
        embeddings = fitted.embed(sample.statistics)
        present = np.unique(sample.labels)
        apart = embeddings - fitted.means[sample.labels]
        each = [apart[sample.labels == label].mean(0) for label in present]
        return cls(fitted, sample, embeddings, present, np.mean(each, axis=0))

    def condition(self) -> float:
        """The squared distance of its offset from the usual one, for each number."""
        return float(np.square(self.offset - self.fitted.usual).mean())

    def speaker_spread(self) -> float | None:
        """The variance of its speakers' offsets; None where they are not known, or too few."""
        apart = self.embeddings - self.fitted.means[self.sample.labels] - self.offset
        found = []
        for speaker in np.unique(self.sample.speakers[self.sample.speakers >= 0]):
            own = apart[self.sample.speakers == speaker]
            if len(own) >= FEWEST:
                noise = own.var(0, ddof=1) / len(own)
                found.append(float((np.square(own.mean(0)) - noise).mean()))
        return max(float(np.mean(found)), 0.0) if len(found) > 1 else None

    def shares(self) -> Floats:
        """Equal shares (labels,) of the labels that it has."""
        found = np.zeros(len(self.fitted.means))
        found[self.present] = 1 / len(self.present)
        return found

    def weights(self, shares: Floats) -> Floats:
        """Weights of the recordings (n,) by which its labels have these shares."""
        counts = np.bincount(self.sample.labels, minlength=len(shares))
        return np.asarray(shares[self.sample.labels] / counts[self.sample.labels])


def calibrate(head: OffsetHead, parts: Sequence[Part], settings: LDASettings) -> float:
    """Set how much noisier short segments are, and return the temperature.

    The pair is that with the least loss on the parts, each an archive that is expected to be
    balanced, as it is: fitted with a wrong expectation, the temperature was 4 instead of 1.5, and
    nearly every prediction neutral.
    """
    tried = []
    for short_s in SHORT_S:
        each = [_scored(part, head, settings, short_s) for part in parts]
        scores, log_prior, truth, weights = map(np.concatenate, zip(*each, strict=True))
        temperature = best_temperature(scores, truth, weights, log_prior)
        loss = weighted_loss(scores / temperature + log_prior, truth, weights)
        tried.append((loss, short_s, temperature))
    _, short_s, temperature = min(tried)
    head.short_s.fill_(short_s)
    return temperature


class Scored(NamedTuple):
    """Recordings of a part as a job scores them."""

    log_likelihoods: Floats  # (n, labels)
    log_prior: Floats  # (n, labels)
    truth: Numbers  # (n,)
    weights: Floats  # (n,)


def _scored(part: Part, head: OffsetHead, settings: LDASettings, short_s: float) -> Scored:
    own = head_of(part.fitted, settings, part.fitted.numbers)
    own.conditions.copy_(head.conditions)
    own.speakers.copy_(head.speakers)
    own.short_s.fill_(short_s)
    shares = part.shares()
    weights = part.weights(shares)
    count = len(np.unique(part.sample.recordings))
    sums = Sums(weights @ part.embeddings * count, count, count)
    offset = own.estimate("archive", own.usual_offset(), sums, shares)
    scores = own.log_likelihoods(part.embeddings, part.sample.durations_s, offset)
    with np.errstate(divide="ignore"):
        log_prior = np.where(shares > 0, np.log(shares), -1e4)
    return Scored(scores, np.tile(log_prior, (len(scores), 1)), part.sample.labels, weights)


def head_of(fitted: Discriminant, settings: LDASettings, width: int) -> OffsetHead:
    """A head with a fit's means and usual offset, and the recipe's spreads."""
    head = OffsetHead(len(fitted.means), width)
    numbers = min(head.numbers, fitted.numbers)
    head.means[:, :numbers] = torch.from_numpy(fitted.means[:, :numbers]).float()
    head.usual[:numbers] = torch.from_numpy(fitted.usual[:numbers]).float()
    for name in ("conditions", "speakers", "mixture"):
        getattr(head, name).fill_(getattr(settings, name))
    return head
