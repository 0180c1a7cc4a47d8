"""Given segments: those of a manifest, and the whole channel as one that needs no manifest.

They may overlap, contain each other, and be as long as the recording: each is cut into pieces as
samples arrive, so that memory holds two pieces of each segment that is open, and no more.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from batch_ser.audio import Samples
from batch_ser.errors import FileError, Reason
from batch_ser.segments.segmenter import Kind, SampleBuffer, SegmentSettings, Source, Span, Times

END_TOLERANCE_S = 0.1  # of a segment after its recording: other programs' rounding
WHOLE: Times = (0.0, None)


@dataclass
class _Progress:
    """One segment [start, end) in frames of the source, and how far it has been cut."""

    number: int
    start: int
    end: int | None
    first: int  # its first sample
    next: int  # the first sample that is in no piece


class Given:
    """The segments of `source.given_times`, which are in order of their starts.

    Raises, when the end is known:
        FileError: `bad_segment`, one begins after the recording's end, or ends 0.1 s after it.
    """

    def __init__(self, source: Source, settings: SegmentSettings) -> None:
        self._source = source
        self._buffer = SampleBuffer()
        self._max_piece = round(settings.piece_s * source.rate_hz)
        self._min_frames = max(1, round(settings.min_s * source.source_hz))
        self._scored: list[tuple[int, int]] = []
        self._short: list[tuple[int, int]] = []
        self._waiting: deque[_Progress] = deque()  # by start
        self._open: list[tuple[int, int, _Progress]] = []  # by the sample that the next piece needs
        for number, (start_s, end_s) in enumerate(source.given_times):
            start = round(start_s * source.source_hz)
            end = None if end_s is None else round(end_s * source.source_hz)
            if end is not None and end - start < self._min_frames:
                self._short.append((start, end))
            else:
                at = source.sample(start)
                self._waiting.append(_Progress(number, start, end, at, at))

    def __call__(self, samples: Samples, total: int | None = None) -> Iterator[Span]:
        self._buffer.append(samples)
        if total is not None:
            self._check(total)
        while self._waiting and (total is not None or self._waiting[0].first < self._buffer.end):
            self._schedule(self._waiting.popleft())
        while self._open and (total is not None or self._open[0][0] <= self._buffer.end):
            yield from self._piece(heapq.heappop(self._open)[2], total)
        needed = [max(each.first, each.next - self._max_piece) for _, _, each in self._open]
        needed += [self._waiting[0].first] if self._waiting else []
        self._buffer.drop(min(needed, default=self._buffer.end))
        if total is not None:
            yield from self._not_scored(total)

    def _check(self, total: int) -> None:
        """Refuse segments that are not in the recording: they would be lost without a message."""
        hz = self._source.source_hz
        for start_s, end_s in self._source.given_times:
            beyond = end_s is not None and end_s * hz > total + END_TOLERANCE_S * hz
            if beyond or round(start_s * hz) >= total:
                end = "its end" if end_s is None else f"{end_s:.10g} s"
                raise FileError(
                    Reason.BAD_SEGMENT,
                    f"the manifest gives a segment from {start_s:.10g} s to {end}; the recording "
                    f"ends at {total / hz:.3f} s",
                )

    def _schedule(self, segment: _Progress) -> None:
        """Cut a segment's next piece once it is complete, and the segment long enough.

        A piece that is not the last needs one sample more: no last piece is without new samples.
        """
        full = segment.next + self._max_piece
        end = None if segment.end is None else self._source.sample(segment.end)
        ready = full + 1 if end is None or full < end else end
        long_enough = self._source.sample(segment.start + self._min_frames)
        heapq.heappush(self._open, (max(ready, long_enough), segment.number, segment))

    def _piece(self, segment: _Progress, total: int | None) -> Iterator[Span]:
        """The next piece of a segment, or that it is too short."""
        end = segment.end
        if total is not None:
            end = total if end is None else min(end, total)
        untouched = segment.next == segment.first
        if untouched and end is not None and end - segment.start < self._min_frames:
            self._short.append((segment.start, end))  # also where that is longer than a piece
            return
        stop = self._buffer.end if end is None else min(self._source.sample(end), self._buffer.end)
        full = segment.next + self._max_piece
        if full < stop:
            samples = self._buffer.cut(segment.next, full)
            frames = self._frame(segment), self._source.frame(full)
            segment.next = full
            self._schedule(segment)
            yield Span(Kind.SCORED, *frames, samples, closes=False, segment=segment.number)
            return
        assert end is not None  # a segment without one is open until the recording ends
        samples = self._buffer.cut(max(segment.first, stop - self._max_piece), stop)
        if untouched and not len(samples):
            self._short.append((segment.start, end))
            return
        self._scored.append((segment.start, end))
        yield Span(Kind.SCORED, self._frame(segment), end, samples, segment=segment.number)

    def _frame(self, segment: _Progress) -> int:
        """Where a segment's next piece begins in the source."""
        return segment.start if segment.next == segment.first else self._source.frame(segment.next)

    def _not_scored(self, total: int) -> Iterator[Span]:
        """The spans outside scored segments."""
        steps = [(at, Kind.SCORED, by) for each in self._scored for at, by in _ends(each)]
        steps += [(at, Kind.TOO_SHORT, by) for each in self._short for at, by in _ends(each)]
        depth = {Kind.SCORED: 0, Kind.TOO_SHORT: 0}
        before = 0
        for at, kind, by in [*sorted(steps), (total, Kind.SCORED, 0)]:
            if (end := min(at, total)) > before and not depth[Kind.SCORED]:
                short = depth[Kind.TOO_SHORT]
                yield Span(Kind.TOO_SHORT if short else Kind.NOT_ASKED, before, end)
            before = max(before, end)
            depth[kind] += by


def _ends(stretch: tuple[int, int]) -> Iterator[tuple[int, int]]:
    yield stretch[0], 1
    yield stretch[1], -1


class Whole(Given):
    """The whole channel is one segment; longer ones stream in pieces."""

    def __init__(self, source: Source, settings: SegmentSettings) -> None:
        super().__init__(replace(source, given_times=(WHOLE,)), settings)
