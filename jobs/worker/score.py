"""The score of a segment, its mean over a file, and the frames that segments cover."""

from collections.abc import Sequence

import numpy as np

from batch_ser.results import rounded
from jobs.worker.stored import StoredSegment
from models.batching import Embeddings, Probabilities, SegmentMeans


class SegmentScore:
    """One segment [start, end) in source frames, and the means over its pieces.

    `number` is its position among the given segments of its channel. With a `stored` row it is
    scored already.
    """

    def __init__(self, start: int, number: int, stored: StoredSegment | None = None) -> None:
        self.start = self.end = start
        self.number = number
        self.means = SegmentMeans()
        self.closed = False  # its end is known
        self.has_row = stored is not None  # in a partial result
        self.stored = stored
        self._of_whole = stored.probabilities if stored else None

    @property
    def is_scored(self) -> bool:
        """Whether all of its pieces have been scored."""
        return self.closed and (bool(self.stored) or self.means.weight == self.end - self.start)

    @property
    def is_scored_whole(self) -> bool:
        """Whether it has probabilities that are not the mean over its pieces."""
        return self._of_whole is not None

    @property
    def probabilities(self) -> Probabilities:
        """Those set by a head that scores the segment whole; else the mean over the pieces."""
        if self._of_whole is not None:
            return self._of_whole
        return self.means.probabilities.astype(np.float32)

    @probabilities.setter
    def probabilities(self, of_whole: Probabilities) -> None:
        self._of_whole = of_whole

    @property
    def embedding(self) -> Embeddings:
        """The mean over the pieces, rounded as a table stores it."""
        if self.stored and self.stored.embedding is not None:
            return self.stored.embedding
        return rounded(self.means.embedding)


def union(scores: Sequence[SegmentScore]) -> int:
    """Frames covered by segments in order of their starts, which may overlap."""
    covered = total = 0
    for score in scores:
        total += max(0, score.end - max(score.start, covered))
        covered = max(covered, score.end)
    return total


def file_mean(scores: Sequence[SegmentScore], labels: tuple[str, ...]) -> dict[str, float]:
    """Mean probabilities of a file, weighted by the segments' durations; none without segments."""
    if not scores:
        return {}
    weights = [score.end - score.start for score in scores]
    mean = np.average([score.probabilities for score in scores], axis=0, weights=weights)
    return {f"p_{label}": float(p) for label, p in zip(labels, mean, strict=True)}
