"""Given segments: those that a manifest names, and the whole channel as the one that needs no name.

They may overlap, stand inside each other, and be as long as the recording: each is heard in
pieces as they come, so that memory holds two pieces of each segment that is open, and no more.
"""

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from batch_ser.audio import Samples
from batch_ser.errors import FileError, Reason
from batch_ser.segments.segmenter import Kind, SegmentSettings, Source, Span, Track

BEYOND_S = 0.1  # by so much a segment may end after its recording: other programs' rounding
WHOLE: tuple[float, float | None] = (0.0, None)


@dataclass
class _Asked:
    """One segment [start, end) in frames of the source, and how far it has been heard."""

    number: int
    start: int
    end: int | None
    first: int  # sample of its start
    next: int  # sample: everything before is in a piece


class Given:
    """The segments of `source.given`, which are in order of their starts.

    Raises, when the end is known:
        FileError: `bad_segment`, one begins after the recording's end, or ends 0.1 s after it.
    """

    def __init__(self, source: Source, settings: SegmentSettings) -> None:
        self._source = source
        self._track = Track()
        self._most = round(settings.piece_s * source.rate_hz)
        self._least = max(1, round(settings.min_s * source.source_hz))
        self._scored: list[tuple[int, int]] = []
        self._short: list[tuple[int, int]] = []
        self._waiting: deque[_Asked] = deque()  # by start
        self._open: list[tuple[int, int, _Asked]] = []  # by the sample that the next piece needs
        for number, (start_s, end_s) in enumerate(source.given):
            start = round(start_s * source.source_hz)
            end = None if end_s is None else round(end_s * source.source_hz)
            if end is not None and end - start < self._least:
                self._short.append((start, end))
            else:
                at = source.sample(start)
                self._waiting.append(_Asked(number, start, end, at, at))

    def __call__(self, samples: Samples, total: int | None = None) -> Iterator[Span]:
        self._track.append(samples)
        if total is not None:
            self._check(total)
        while self._waiting and (total is not None or self._waiting[0].first < self._track.end):
            self._await(self._waiting.popleft())
        while self._open and (total is not None or self._open[0][0] <= self._track.end):
            yield from self._piece(heapq.heappop(self._open)[2], total)
        needed = [max(each.first, each.next - self._most) for _, _, each in self._open]
        needed += [self._waiting[0].first] if self._waiting else []
        self._track.forget(min(needed, default=self._track.end))
        if total is not None:
            yield from self._not_scored(total)

    def _check(self, total: int) -> None:
        """Refuse segments that are not in the recording: they would be lost without a word."""
        hz = self._source.source_hz
        for start_s, end_s in self._source.given:
            beyond = end_s is not None and end_s * hz > total + BEYOND_S * hz
            if beyond or round(start_s * hz) >= total:
                told = "its end" if end_s is None else f"{end_s:.10g} s"
                raise FileError(
                    Reason.BAD_SEGMENT,
                    f"the manifest gives a segment from {start_s:.10g} s to {told}; the recording "
                    f"ends at {total / hz:.3f} s",
                )

    def _await(self, asked: _Asked) -> None:
        """Hear a segment's next piece once it has come, and is known to be of a segment.

        One that is not the last needs one sample more: there is no last piece without new sound.
        """
        full = asked.next + self._most
        end = None if asked.end is None else self._source.sample(asked.end)
        ready = full + 1 if end is None or full < end else end
        least = self._source.sample(asked.start + self._least)
        heapq.heappush(self._open, (max(ready, least), asked.number, asked))

    def _piece(self, asked: _Asked, total: int | None) -> Iterator[Span]:
        """The next piece of a segment, or that it is too short."""
        end = asked.end
        if total is not None:
            end = total if end is None else min(end, total)
        untouched = asked.next == asked.first
        if untouched and end is not None and end - asked.start < self._least:
            self._short.append((asked.start, end))  # also where that is longer than a piece
            return
        stop = self._track.end if end is None else min(self._source.sample(end), self._track.end)
        full = asked.next + self._most
        if full < stop:
            heard = self._track.cut(asked.next, full)
            frames = self._frame(asked), self._source.frame(full)
            asked.next = full
            self._await(asked)
            yield Span(Kind.SCORED, *frames, heard, False, asked.number)
            return
        assert end is not None  # a segment without one is open until the recording ends
        heard = self._track.cut(max(asked.first, stop - self._most), stop)
        if untouched and not len(heard):
            self._short.append((asked.start, end))
            return
        self._scored.append((asked.start, end))
        yield Span(Kind.SCORED, self._frame(asked), end, heard, True, asked.number)

    def _frame(self, asked: _Asked) -> int:
        """Where a segment's next piece begins in the source."""
        return asked.start if asked.next == asked.first else self._source.frame(asked.next)

    def _not_scored(self, total: int) -> Iterator[Span]:
        """Everything outside of scored segments."""
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
        super().__init__(replace(source, given=(WHOLE,)), settings)
