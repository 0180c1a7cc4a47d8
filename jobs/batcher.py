"""Pieces of all requests, scored together: one thread, one checkpoint, batches across callers.

While a batch is scored, others come; all that wait then are sorted by length into the next batches
(`models/batching.py`). After a pause the first waits some milliseconds for others.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from batch_ser.audio import Samples
from models import Checkpoint
from models.batching import BATCH_S, Outputs, Piece, SegmentMeans, score_pieces

GATHER_S = 0.004  # a few per cent of what the shortest request takes
Observe = Callable[[int, int], None]  # callers and pieces that are scored together


class _Answer(SegmentMeans):
    """The outputs of one piece, as they are."""

    probabilities_of_piece: NDArray[np.float32]
    embedding_of_piece: NDArray[np.float32]

    def add(
        self,
        probabilities: NDArray[np.floating],
        embedding: NDArray[np.floating],
        weight: int,  # noqa: ARG002
    ) -> None:
        self.probabilities_of_piece = np.asarray(probabilities, np.float32)
        self.embedding_of_piece = np.asarray(embedding, np.float32)


@dataclass(frozen=True)
class _Waiting:
    """What one caller asked for."""

    segments: Sequence[Samples]
    embed: bool
    outputs: "Future[Outputs]" = field(default_factory=Future)


@dataclass(frozen=True)
class _CallersPiece(Piece):
    means: _Answer
    caller: _Waiting


class Batcher:
    """Scores what callers send, each in a thread of its own."""

    def __init__(self, checkpoint: Checkpoint, observe: Observe) -> None:
        self._checkpoint = checkpoint
        self._budget = round(BATCH_S * checkpoint.info.rate_hz)
        self._observe = observe
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="batcher", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """Score what waits, and end."""
        self._queue.put(None)
        self._thread.join()

    def submit(self, segments: Sequence[Samples], *, embed: bool = False) -> "Future[Outputs]":
        """The probabilities and embeddings of segments, as `Checkpoint.score_features` has them.

        None is longer than the network takes.
        """
        waiting = _Waiting(segments, embed)
        self._queue.put(waiting)
        return waiting.outputs

    def _work(self) -> None:
        while (first := self._queue.get()) is not None:
            waiting = [first, *self._gathered(first)]
            for embed in {each.embed for each in waiting}:
                callers = [each for each in waiting if each.embed == embed]
                try:
                    self._score(callers, embed=embed)
                except Exception as error:  # else the thread would end, and all would wait
                    for each in callers:
                        if not each.outputs.done():
                            each.outputs.set_exception(error)

    def _gathered(self, first: _Waiting) -> list[_Waiting]:
        """What others ask for within a few milliseconds, up to one batch."""
        end, found = time.monotonic() + GATHER_S, []
        samples = sum(map(len, first.segments))
        while samples < self._budget:
            try:
                each = self._queue.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            if each is None:
                self._queue.put(None)  # for `_work`, after these
                break
            found.append(each)
            samples += sum(map(len, each.segments))
        return found

    def _score(self, callers: Sequence[_Waiting], *, embed: bool) -> None:
        failures: dict[int, Exception] = {}
        pieces = [_CallersPiece(s, 1, _Answer(), each) for each in callers for s in each.segments]

        def score(segments: Sequence[Samples]) -> Outputs:
            features = self._checkpoint.features(segments)
            return self._checkpoint.score_features(features, embed=embed)

        def failed(piece: _CallersPiece, error: Exception) -> None:
            failures[id(piece.caller)] = error

        self._observe(len(callers), len(pieces))
        score_pieces(pieces, score, self._budget, failed)
        for each in callers:
            if id(each) in failures:
                each.outputs.set_exception(failures[id(each)])
            else:
                each.outputs.set_result(_outputs([p for p in pieces if p.caller is each]))


def _outputs(pieces: Sequence[_CallersPiece]) -> Outputs:
    return (
        np.stack([piece.means.probabilities_of_piece for piece in pieces]),
        np.stack([piece.means.embedding_of_piece for piece in pieces]),
    )
