"""The simple segmenters: windows of equal length, and the whole channel."""

from collections.abc import Iterator

from batch_ser.samples import Samples
from batch_ser.segment import Kind, SegmentSettings, Span, Track, in_pieces


class Whole:
    """The whole channel is one segment; longer ones stream in pieces."""

    def __init__(self, rate_hz: int, settings: SegmentSettings) -> None:
        self._track = Track()
        self._next = 0
        self._most = round(settings.piece_s * rate_hz)
        self._least = round(settings.min_s * rate_hz)

    def __call__(self, samples: Samples, last: bool) -> Iterator[Span]:
        self._track.append(samples)
        while self._track.end > self._next + self._most:
            end = self._next + self._most
            yield Span(Kind.SCORED, self._next, end, self._track.cut(self._next, end), False)
            self._track.forget(self._next)  # the last piece may begin after this
            self._next = end
        if last and self._track.end > self._next:
            end = self._track.end
            if end < self._least:
                yield Span(Kind.TOO_SHORT, 0, end)
            else:
                heard = self._track.cut(max(0, end - self._most), end)
                yield Span(Kind.SCORED, self._next, end, heard)


class Window:
    """Windows of equal length, `hop_s` apart; a shorter last one if it is at least `min_s` long."""

    def __init__(self, rate_hz: int, settings: SegmentSettings) -> None:
        self._track = Track()
        self._next = self._covered = 0
        self._length = round(settings.window_s * rate_hz)
        self._hop = max(1, round(settings.hop_s * rate_hz))
        self._least = round(settings.min_s * rate_hz)
        self._most = round(settings.piece_s * rate_hz)

    def __call__(self, samples: Samples, last: bool) -> Iterator[Span]:
        self._track.append(samples)
        while self._track.end >= self._next + self._length:
            yield from self._window(self._next + self._length)
        if last and self._track.end > self._covered:
            yield from self._rest(self._track.end)

    def _window(self, end: int) -> Iterator[Span]:
        if self._next > self._covered:
            yield Span(Kind.NOT_ASKED, self._covered, self._next)
        yield from in_pieces(self._next, self._track.cut(self._next, end), self._most)
        self._covered = end
        self._next += self._hop
        self._track.forget(self._next)

    def _rest(self, end: int) -> Iterator[Span]:
        """What no full window covers."""
        if self._next >= end:
            yield Span(Kind.NOT_ASKED, self._covered, end)
        elif end - self._next >= self._least:
            yield from self._window(end)
        else:
            if self._next > self._covered:
                yield Span(Kind.NOT_ASKED, self._covered, self._next)
            yield Span(Kind.TOO_SHORT, max(self._next, self._covered), end)
