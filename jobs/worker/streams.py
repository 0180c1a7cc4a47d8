"""One channel of a recording: samples, block by block, to pieces that can be scored.

Positions are frames of the source's own clock, whole numbers, so that sums are exact.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from batch_ser.audio import Resampler, Samples
from batch_ser.inputs import GivenSegment
from batch_ser.segments import (
    SEGMENTERS,
    ChannelRegions,
    Gate,
    Kind,
    SegmentSettings,
    Source,
    Span,
    Speech,
)
from jobs.worker.score import SegmentScore, union
from jobs.worker.stored import StoredRows, StoredRowsDiffer
from models.batching import Piece


class ChannelStream:
    """The resampler and segmenter of one channel, its segments, and its frames by kind.

    With `detected`, speech and crosstalk are detected. A channel that is not scored has nothing
    else; `gated`, crosstalk is silenced before the segmenter, and a segment without other speech is
    not asked for.
    """

    def __init__(
        self,
        number: int,
        source: Source,
        settings: SegmentSettings,
        given: Sequence[GivenSegment] = (),
        stored: StoredRows | None = None,
        detected: ChannelRegions | None = None,
        *,
        scored: bool = True,
        gated: bool = False,
    ) -> None:
        source = replace(source, given_times=tuple((each.start_s, each.end_s) for each in given))
        self.number, self.given, self.detected = number, given, detected
        self.dropped: list[SegmentScore] = []  # of crosstalk alone
        self.frames: Counter[Kind] = Counter()
        self.scores: list[SegmentScore] = []
        self._resampler = Resampler(source.source_hz, source.rate_hz)
        self._segmenter = SEGMENTERS[settings.method](source, settings) if scored else None
        self._gate = Gate(source, detected) if detected and gated and scored else None
        is_detector = isinstance(self._segmenter, Speech) and not self._gate
        self._detector = None
        if detected and not is_detector:
            self._detector = Speech(source, SegmentSettings())
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
        total = self._decoded if last else None
        self._detect(samples, total)
        if self._segmenter is None:
            self.frames[Kind.NOT_ASKED] = self._decoded
            return
        if self._gate:
            samples = self._gate(samples, last=last)
        for span in self._segmenter(samples, total):
            if span.samples is None:
                self._count(span)
                continue
            score = self._score_of(span)
            if self._is_dropped(score):
                continue
            if score.stored is None:
                yield Piece(span.samples, span.end - span.start, score.means)
        if self.detected and isinstance(self._segmenter, Speech) and not self._detector:
            self.detected.take(self._segmenter)
        if last:
            self._finish()

    def _detect(self, samples: Samples, total: int | None) -> None:
        """Detect speech, where the segmenter does not; nothing else of its samples is kept."""
        if self._detector and self.detected:
            for _ in self._detector(samples, total):
                pass
            self.detected.take(self._detector)

    def _count(self, span: Span) -> None:
        """Count the frames of a span that is not scored; crosstalk that is silenced, apart."""
        length = span.end - span.start
        crosstalk = 0
        if self._gate and self.detected:
            _, crosstalk = self.detected.speech_frames(span.start, span.end)
        self.frames[Kind.NOT_ASKED] += crosstalk
        self.frames[span.kind] += length - crosstalk

    def _is_dropped(self, score: SegmentScore) -> bool:
        """Drop a segment whose end is known, if it holds crosstalk and no other speech."""
        if not (self._gate and self.detected and score.closed):
            return False
        own, crosstalk = self.detected.speech_frames(score.start, score.end)
        if own or not crosstalk:
            return False
        self.scores.remove(score)
        self.dropped.append(score)
        return True

    def _finish(self) -> None:
        self.scores.sort(key=_place)
        self.frames[Kind.SCORED] = scored = union(self.scores)
        self.frames[Kind.NOT_ASKED] += (
            union(sorted(self.scores + self.dropped, key=_place)) - scored
        )

    def is_crosstalk(self, score: SegmentScore) -> bool | None:
        """Whether most of the speech in a segment is crosstalk; None where none is detected."""
        if self.detected is None:
            return None
        own, crosstalk = self.detected.speech_frames(score.start, score.end)
        return crosstalk > own and not self._gate

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


def _place(score: SegmentScore) -> tuple[int, int, int]:
    return score.start, score.end, score.number
