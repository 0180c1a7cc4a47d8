"""One channel of a recording: samples, block by block, to pieces that can be scored.

Positions are frames of the source's own clock, whole numbers, so that sums are exact.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from batch_ser.audio import Resampler, Samples
from batch_ser.inputs import GivenSegment
from batch_ser.segments import SEGMENTERS, Kind, SegmentSettings, Source, Span
from jobs.worker.score import SegmentScore, union
from jobs.worker.stored import StoredRows, StoredRowsDiffer
from models.batching import Piece


class ChannelStream:
    """The resampler and segmenter of one channel, its segments, and its frames by kind."""

    def __init__(
        self,
        number: int,
        source: Source,
        settings: SegmentSettings,
        given: Sequence[GivenSegment] = (),
        stored: StoredRows | None = None,
    ) -> None:
        source = replace(source, given_times=tuple((each.start_s, each.end_s) for each in given))
        self.number, self.given = number, given
        self.frames: Counter[Kind] = Counter()
        self.scores: list[SegmentScore] = []
        self.speech: list[tuple[int, int]] = []
        self._resampler = Resampler(source.source_hz, source.rate_hz)
        self._segmenter = SEGMENTERS[settings.method](source, settings)
        self._stored = stored
        self._decoded = 0
        self._open: dict[int, SegmentScore] = {}  # by the segmenter's number

    def resample(self, samples: Samples, *, last: bool) -> Samples:
        """The next samples of this channel, at the checkpoint's rate."""
        self._decoded += len(samples)
        out = self._resampler(samples)
        return np.concatenate([out, self._resampler(samples[:0], last=True)]) if last else out

    def pieces(self, samples: Samples, *, last: bool) -> Iterator[Piece]:
        """Segment the next samples, count every frame, and yield the pieces that are complete.

        Segments that have a stored row yield none.

        Raises:
            StoredRowsDiffer: a segment ends elsewhere than in its stored row.
        """
        for span in self._segmenter(samples, self._decoded if last else None):
            if span.kind in (Kind.SCORED, Kind.TOO_SHORT):
                self.speech.append((span.start, span.end))
            if span.samples is None:
                self.frames[span.kind] += span.end - span.start
                continue
            score = self._score_of(span)
            if score.stored is None:
                yield Piece(span.samples, span.end - span.start, score.means)
        if last:
            self.scores.sort(key=lambda score: (score.start, score.end, score.number))
            self.frames[Kind.SCORED] = union(self.scores)

    def _score_of(self, span: Span) -> SegmentScore:
        """The segment that a span is a piece of."""
        score = self._open.get(span.segment)
        if score is None:
            at = span.start, span.segment
            stored = self._stored.take(self.number, *at) if self._stored else None
            score = self._open[span.segment] = SegmentScore(*at, stored)
            self.scores.append(score)
        score.end = span.end
        if span.closes:
            score.closed = True
            del self._open[span.segment]
            if score.stored and score.stored.end != score.end:
                raise StoredRowsDiffer(f"one at frame {score.start} ends at {score.end}")
        return score
