"""What the segments of one party show: scores from -5 to 5, their trend, and peaks.

A score is 5 * sum d (p+ - p-) / sum d, over segments of d seconds: p+ is the probability of all
positive labels together, p- that of the negative ones. Amazon Contact Lens has the same scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch_ser.calls.conversation import Value
from batch_ser.calls.regions import Region, length_s, union
from batch_ser.errors import UsageError

POSITIVE, NEGATIVE = ("happy",), ("angry", "sad", "fearful", "disgust")
ANGRY = "angry"
MOST = 5.0  # the highest score
QUARTERS = 4
LEAST_S = 3.0  # of scored speech, for the score of a part of a call
WINDOW_S = 30.0  # of the lowest mean
PEAK_S = 1.5  # of the shortest segment that can be the peak
SLIGHT, CLEAR = 1.0, 2.5  # a trend below the first is no change
NOT_CALCULATED = "NotCalculated"
DECLINING = ("Declining", "SlightlyDeclining")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EmotionScale:
    """The labels of a checkpoint, and which of them are positive and negative."""

    labels: tuple[str, ...]
    positive: tuple[str, ...]
    negative: tuple[str, ...]

    @classmethod
    def of(
        cls, labels: Sequence[str], positive: str | None = None, negative: str | None = None
    ) -> "EmotionScale":
        """With the labels of `--positive` and `--negative`, separated by commas.

        Raises:
            UsageError: an unknown label, one that is both, or none at all.
        """
        known = tuple(labels)
        plus = _chosen("--positive", positive, POSITIVE, known)
        minus = _chosen("--negative", negative, NEGATIVE, known)
        if both := set(plus).intersection(minus):
            raise UsageError(
                f"--positive, --negative: {min(both)} is in both; expected different labels"
            )
        if not plus + minus:
            raise UsageError(
                f"found the labels {', '.join(known)}, none of them positive or negative; expected "
                "some of them as --positive and --negative"
            )
        return cls(known, plus, minus)

    def share(self, probabilities: Floats, labels: Sequence[str]) -> Floats:
        """The probability (n,) of some labels together, of probabilities (n, labels)."""
        found: Floats = probabilities[:, [self.labels.index(each) for each in labels]].sum(1)
        return found


def _chosen(
    option: str, text: str | None, usual: Sequence[str], known: Sequence[str]
) -> tuple[str, ...]:
    if text is None:
        return tuple(label for label in usual if label in known)
    found = tuple(dict.fromkeys(each.strip() for each in text.split(",") if each.strip()))
    if unknown := [label for label in found if label not in known]:
        raise UsageError(
            f"{option} {text}: found {unknown[0]}; expected labels of the checkpoint "
            f"({', '.join(known)})"
        )
    return found


@dataclass(frozen=True)
class PartySegments:
    """The scored segments of one party, by start; crosstalk, another's voice, is left out."""

    channels: NDArray[np.int64]  # (n,)
    numbers: NDArray[np.int64]  # (n,): column `segment`
    starts_s: Floats  # (n,)
    ends_s: Floats  # (n,)
    probabilities: Floats  # (n, labels)

    @classmethod
    def of(cls, rows: pa.Table, labels: Sequence[str]) -> "PartySegments":
        """Rows of the segments table."""
        times = (rows[name].to_numpy() for name in ("start_s", "end_s"))
        scores = [rows[f"p_{label}"].to_numpy().astype(np.float64) for label in labels]
        numbers = (rows[name].to_numpy().astype(np.int64) for name in ("channel", "segment"))
        found = (*numbers, *times, np.stack(scores, axis=1))
        own = ~rows["crosstalk"].fill_null(False).to_numpy()
        order = np.argsort(found[2][own], kind="stable")
        return cls(*(each[own][order] for each in found))

    @property
    def durations_s(self) -> Floats:
        return self.ends_s - self.starts_s

    @property
    def regions(self) -> list[Region]:
        """Where there are segments; windows may overlap."""
        return union(zip(self.starts_s.tolist(), self.ends_s.tolist(), strict=True))

    @property
    def long_enough(self) -> NDArray[np.int64]:
        """The indices of the segments of 1.5 s or more."""
        return np.flatnonzero(self.durations_s >= PEAK_S)

    def strongest(self, values: Floats) -> int | None:
        """The index of the segment of 1.5 s or more with the highest of values (n,)."""
        among = self.long_enough
        return int(among[values[among].argmax()]) if len(among) else None


def emotion_columns(
    found: PartySegments, scale: EmotionScale, last_word_s: float
) -> dict[str, Value]:
    """The columns of a party, without its name; `last_word_s` ends its last quarter."""
    durations_s = found.durations_s
    if not durations_s.sum() > 0:
        return {"emotion_trend_class": NOT_CALCULATED}
    plus = scale.share(found.probabilities, scale.positive)
    minus = scale.share(found.probabilities, scale.negative)
    values = MOST * (plus - minus)
    quarters = _quarters(found, values, last_word_s)
    known = [each for each in quarters if each is not None]
    first, last = quarters[0], quarters[-1]
    trend = None if first is None or last is None else last - first
    lowest = _lowest(found, values)
    means = durations_s @ found.probabilities / durations_s.sum()
    columns: dict[str, Value] = {
        "emotion_overall_score": _mean(values, durations_s),
        **{f"emotion_q{number}_score": each for number, each in enumerate(quarters, start=1)},
        "emotion_end_score": known[-1] if known else None,
        "emotion_trend": trend,
        "emotion_trend_class": trend_class(trend),
        "negative_time_s": _mean(minus, durations_s) * length_s(found.regions),
        "longest_negative_s": _longest_run(found, minus > 0.5),
        "recovery": None if last is None or lowest is None else last - lowest,
        "uncertainty": _mean(_entropy(found.probabilities), durations_s),
        **{f"p_{label}": float(each) for label, each in zip(scale.labels, means, strict=True)},
    }
    return columns | _anger_peak(found, scale.labels)


def _mean(values: Floats, weights: Floats) -> float:
    return float(values @ weights / weights.sum())


def trend_class(trend: float | None) -> str:
    """The word for the last quarter's score less the first one's."""
    if trend is None:
        return NOT_CALCULATED
    if abs(trend) < SLIGHT:
        return "NoChange"
    slightly = "Slightly" if abs(trend) < CLEAR else ""
    return f"{slightly}{'Improving' if trend > 0 else 'Declining'}"


def _quarters(found: PartySegments, values: Floats, end_s: float) -> list[float | None]:
    """The score of each quarter up to a time; a segment counts where it overlaps the quarter."""
    scores = []
    for start, end in pairwise(np.linspace(0, end_s, QUARTERS + 1)):
        inside = np.minimum(found.ends_s, end) - np.maximum(found.starts_s, start)
        weights = np.maximum(inside, 0)
        enough = weights.sum() >= LEAST_S
        scores.append(_mean(values, weights) if enough else None)
    return scores


def _lowest(found: PartySegments, values: Floats) -> float | None:
    """The lowest mean of the segments that begin within 30 s from the start of one of them."""
    durations_s = found.durations_s
    ends = np.searchsorted(found.starts_s, found.starts_s + WINDOW_S)
    sums, weights = (
        np.concatenate(([0.0], np.cumsum(each))) for each in (durations_s * values, durations_s)
    )
    begins = np.arange(len(values))
    within = weights[ends] - weights[begins]
    enough = within >= LEAST_S
    if not enough.any():
        return None
    return float(((sums[ends] - sums[begins])[enough] / within[enough]).min())


def _longest_run(found: PartySegments, chosen: NDArray[np.bool_]) -> float:
    """The most seconds of segments one after the other that are all chosen, without pauses."""
    runs: list[list[Region]] = [[]]
    times = zip(found.starts_s.tolist(), found.ends_s.tolist(), strict=True)
    for region, is_chosen in zip(times, chosen.tolist(), strict=True):
        if is_chosen:
            runs[-1].append(region)
        else:
            runs.append([])
    return max(length_s(union(run)) for run in runs)


def _entropy(probabilities: Floats) -> Floats:
    """Of each row, in nats: 0 of a certain label, log(labels) of equal probabilities."""
    logs = np.log(np.where(probabilities > 0, probabilities, 1.0))
    found: Floats = -(probabilities * logs).sum(1)
    return np.maximum(found, 0.0)


def _anger_peak(found: PartySegments, labels: Sequence[str]) -> dict[str, Any]:
    if ANGRY not in labels:
        return {}
    angry = found.probabilities[:, list(labels).index(ANGRY)]
    if (best := found.strongest(angry)) is None:
        return {}
    return {
        "anger_peak": float(angry[best]),
        "anger_peak_start_s": float(found.starts_s[best]),
        "anger_peak_end_s": float(found.ends_s[best]),
        "anger_peak_segment": int(found.numbers[best]),
    }
