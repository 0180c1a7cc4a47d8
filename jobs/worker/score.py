"""What the network says of a segment, of segments together, and how much they cover."""

import numpy as np
from numpy.typing import NDArray

from batch_ser.results import rounded
from models.scoring import Embeddings, Probabilities


class SegmentScore:
    """One segment [start, end) in source frames, and the means of what its pieces gave.

    `number` is its place among the given ones of its channel.
    """

    def __init__(self, start: int, number: int) -> None:
        self.start = self.end = start
        self.number = number
        self._sum: NDArray[np.float64] = np.zeros(())
        self._embeddings: NDArray[np.float64] = np.zeros(())
        self._weight = 0
        self._whole: Probabilities | None = None

    def add(self, probabilities: Probabilities, weight: int, embedding: Embeddings) -> None:
        """Count a piece's probabilities (labels,) and embedding (width,) by its new samples."""
        self._sum = self._sum + probabilities.astype(np.float64) * weight
        self._embeddings = self._embeddings + embedding.astype(np.float64) * weight
        self._weight += weight

    @property
    def probabilities(self) -> Probabilities:
        """As set, where a head takes the segment whole; else the mean over its pieces."""
        if self._whole is not None:
            return self._whole
        mean = self._sum / self._weight
        return np.asarray(mean / mean.sum(), np.float32)

    @probabilities.setter
    def probabilities(self, found: Probabilities) -> None:
        self._whole = found

    @property
    def embedding(self) -> Embeddings:
        """The mean over the pieces, as a table stores it."""
        return rounded(self._embeddings / self._weight)


def union(scores: list[SegmentScore]) -> int:
    """Frames that segments in order of their starts cover: they may overlap."""
    covered = total = 0
    for score in scores:
        total += max(0, score.end - max(score.start, covered))
        covered = max(covered, score.end)
    return total


def mean(scores: list[SegmentScore], labels: tuple[str, ...]) -> dict[str, float]:
    """Mean probabilities of a file, weighted by the segments' durations."""
    if not scores:
        return {}
    weights = [score.end - score.start for score in scores]
    mean = np.average([score.probabilities for score in scores], axis=0, weights=weights)
    return {f"p_{label}": float(p) for label, p in zip(labels, mean, strict=True)}
