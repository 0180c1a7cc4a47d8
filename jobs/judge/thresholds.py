"""Precision and recall of one label by the threshold of its probability."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.judge.judged import Judged
from jobs.judge.proportions import Array, Estimate, share

LEAST = 10  # labelled segments at or above a threshold that is recommended
STEPS = tuple(round(0.05 * step, 2) for step in range(1, 20))  # thresholds of the table


@dataclass(frozen=True)
class Point:
    """What is found with a probability of `threshold` or more."""

    threshold: float
    precision: Estimate | None  # None: nothing is
    recall: Estimate | None
    selected: float  # share of the archive's segments, by weights
    segments: int  # that are labelled

    def as_json(self) -> dict[str, Any]:
        """As `metrics.json` has it."""
        return {
            "threshold": self.threshold,
            "precision": self.precision and self.precision.as_json(),
            "recall": self.recall and self.recall.as_json(),
            "selected": self.selected,
            "segments": self.segments,
        }


def point(judged: Judged, label: int, threshold: float) -> Point:
    """Precision and recall at a threshold, with their intervals."""
    hits, weights, units = judged.truth[:, label], judged.weights, judged.units
    above = judged.probabilities[:, label] >= threshold
    carried = hits > 0
    return Point(
        threshold,
        share(hits[above], weights[above], units[above]),
        share(above[carried].astype(float), (weights * hits)[carried], units[carried]),
        float(weights[above].sum() / weights.sum()),
        int(above.sum()),
    )


def curve(judged: Judged, label: int) -> Array:
    """Threshold, precision, recall and labelled segments (points, 4) at each probability."""
    scores, weights = judged.probabilities[:, label], judged.weights
    order = np.argsort(-scores, kind="stable")
    scores, hits = scores[order], (judged.truth[:, label] * weights)[order].cumsum()
    last = np.append(scores[1:] != scores[:-1], True)  # of equal probabilities
    found = weights[order].cumsum()
    columns = (scores, hits / found, hits / hits[-1], np.arange(1, len(scores) + 1))
    return np.asarray(np.stack(columns, axis=1)[last])


def wanted_point(judged: Judged, label: int, precision: float) -> Point | None:
    """The lowest threshold with the wanted precision; None if no threshold has it."""
    points = curve(judged, label)
    good = points[(points[:, 1] >= precision) & (points[:, 3] >= LEAST)]
    return point(judged, label, float(good[-1, 0])) if len(good) else None
