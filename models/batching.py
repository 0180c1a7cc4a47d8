"""Batches of similar length, and the means over the pieces of segments.

A network takes segments of bounded length, and padding costs time: longer segments are scored in
pieces, pieces of similar length go together, and a segment's result is the mean over its pieces,
weighted by their new samples. Jobs, training and evaluation all score by `score_pieces`, so that a
segment has one score, whichever command scores it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from batch_ser.audio import Samples
from batch_ser.segments import in_pieces

Probabilities = NDArray[np.float32]
Embeddings = NDArray[np.float32]
Outputs = tuple[Probabilities, Embeddings]  # (n, labels) and (n, width); either may have no columns
BATCH_S = 64.0  # padded seconds of audio in one batch
# the shortest row of a batch, by its longest: on CPUs eight clips of 1 to 8 s took twice as long in
# one batch as in four (47 instead of 25 ms a clip with `accurate`)
SIMILAR = 0.75


def batches(lengths: ArrayLike, budget: float) -> Iterator[NDArray[np.int64]]:
    """Row numbers in batches of similar `lengths` (n,), in samples or frames, the longest first.

    Padded to its longest row, a batch has at most `budget` of these; a row that is longer is a
    batch of its own. No row is shorter than `SIMILAR` of the longest, so that padding is at most a
    quarter. Where memory does not suffice, the first batch already fails.
    """
    every = np.asarray(lengths)
    rows = np.argsort(-every, kind="stable")
    descending = every[rows]
    first = 0
    while first < len(rows):
        longest = descending[first]
        fitting = max(1, int(budget // max(longest, 1)))
        similar = int(np.searchsorted(-descending, -SIMILAR * longest, side="right"))
        end = min(first + fitting, max(similar, first + 1))
        yield rows[first:end]
        first = end


def consecutive(count: int, size: int) -> Iterator[slice]:
    """`count` rows in their order, `size` at a time."""
    for first in range(0, count, size):
        yield slice(first, first + size)


class SegmentMeans:
    """Means over the pieces of one segment, in float64."""

    def __init__(self) -> None:
        self._probabilities: NDArray[np.float64] = np.zeros(())
        self._embedding: NDArray[np.float64] = np.zeros(())
        self.weight = 0  # new samples of the pieces that are counted

    def add(
        self, probabilities: NDArray[np.floating], embedding: NDArray[np.floating], weight: int
    ) -> None:
        """Count a piece's probabilities (labels,) and embedding (width,) by its new samples."""
        self._probabilities = self._probabilities + probabilities.astype(np.float64) * weight
        self._embedding = self._embedding + embedding.astype(np.float64) * weight
        self.weight += weight

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """(labels,), summing to 1."""
        mean = self._probabilities / self.weight
        return np.asarray(mean / mean.sum())

    @property
    def embedding(self) -> NDArray[np.float64]:
        """(width,)."""
        return self._embedding / self.weight


@dataclass(frozen=True)
class Piece:
    """What a network takes at once: a segment, or a part of a longer one."""

    samples: Samples
    weight: int  # new samples: the last piece overlaps the one before
    means: SegmentMeans  # of its segment


P = TypeVar("P", bound=Piece)
Score = Callable[[Sequence[Samples]], Outputs]


def segment_means(
    segments: Sequence[Samples], most: int, score: Score, budget: float
) -> list[SegmentMeans]:
    """Score segments of any length, in pieces of at most `most` samples.

    An empty segment is one empty piece.
    """
    means = [SegmentMeans() for _ in segments]
    pieces = [
        piece
        for samples, mean in zip(segments, means, strict=True)
        for piece in _pieces(samples, most, mean)
    ]
    score_pieces(pieces, score, budget)
    return means


def _pieces(samples: Samples, most: int, means: SegmentMeans) -> Iterator[Piece]:
    if not len(samples):
        yield Piece(samples, 1, means)
    for span in in_pieces(0, samples, most):
        assert span.samples is not None
        yield Piece(span.samples, span.end - span.start, means)


def score_pieces(
    pieces: Sequence[P],
    score: Score,
    budget: float,
    failed: Callable[[P, Exception], None] | None = None,
) -> None:
    """Score pieces in batches of at most `budget` padded samples, and add them to their means.

    With `failed`, a batch that raises is scored piece by piece, and `failed` receives the pieces
    that raise alone.
    """
    for rows in batches([len(piece.samples) for piece in pieces], budget):
        _score_batch([pieces[row] for row in rows], score, failed)


def _score_batch(
    batch: Sequence[P], score: Score, failed: Callable[[P, Exception], None] | None
) -> None:
    try:
        outputs = score([piece.samples for piece in batch])
    except Exception as error:
        if failed is None:
            raise
        if len(batch) == 1:
            failed(batch[0], error)
        else:
            for piece in batch:
                _score_batch([piece], score, failed)
        return
    for piece, probabilities, embedding in zip(batch, *outputs, strict=True):
        piece.means.add(probabilities, embedding, piece.weight)
