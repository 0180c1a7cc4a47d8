"""What the network says of a segment, of segments together, and how much they cover."""

import numpy as np
from numpy.typing import NDArray

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

    def add(
        self, probabilities: Probabilities, weight: int, embedding: Embeddings | None = None
    ) -> None:
        """Count a piece's probabilities (labels,) and embedding (width,) by its new samples."""
        self._sum = self._sum + probabilities.astype(np.float64) * weight
        if embedding is not None:
            self._embeddings = self._embeddings + embedding.astype(np.float64) * weight
        self._weight += weight

    @property
    def probabilities(self) -> Probabilities:
        mean = self._sum / self._weight
        return np.asarray(mean / mean.sum(), np.float32)

    @property
    def embedding(self) -> Embeddings:
        """Rounded to float16, which is precise enough and packs to half the bytes."""
        largest = np.finfo(np.float16).max
        mean = np.clip(self._embeddings / self._weight, -largest, largest)
        return mean.astype(np.float16).astype(np.float32)


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
