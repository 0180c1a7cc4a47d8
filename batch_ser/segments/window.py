"""Windows of equal length."""

from collections.abc import Iterator
from fractions import Fraction

from batch_ser.audio import Samples
from batch_ser.segments.segmenter import (
    Kind,
    SampleBuffer,
    SegmentSettings,
    Source,
    Span,
    in_pieces,
)


class Window:
    """Windows of equal length, `hop_s` apart; a shorter last one if it is at least `min_s` long.

    The n-th begins at n times the hop, to the nearest frame of the source: in fractions, so that
    a day of windows does not drift by as much as a frame.
    """

    def __init__(self, source: Source, settings: SegmentSettings) -> None:
        self._source = source
        self._buffer = SampleBuffer()
        self._number = self._covered = 0
        self._length = max(Fraction(1), _frames(settings.window_s, source))
        self._hop = max(Fraction(1), _frames(settings.hop_s, source))
        self._min_frames = _frames(settings.min_s, source)
        self._max_piece = round(settings.piece_s * source.rate_hz)

    def __call__(self, samples: Samples, total: int | None = None) -> Iterator[Span]:
        self._buffer.append(samples)
        while True:
            start, end = self._bounds()
            if end > total if total is not None else self._source.sample(end) > self._buffer.end:
                break
            yield from self._window(start, end)
            self._number += 1
            self._buffer.drop(self._source.sample(self._bounds()[0]))
        if total is not None and total > self._covered:
            yield from self._rest(start, total)

    def _bounds(self) -> tuple[int, int]:
        start = self._number * self._hop
        return round(start), round(start + self._length)

    def _window(self, start: int, end: int) -> Iterator[Span]:
        if start > self._covered:
            yield Span(Kind.NOT_ASKED, self._covered, start)
        samples = self._buffer.cut(self._source.sample(start), self._source.sample(end))
        yield from in_pieces(start, samples, self._max_piece, end)
        self._covered = end

    def _rest(self, start: int, end: int) -> Iterator[Span]:
        """The end of the channel, which no full window covers."""
        if start >= end:
            yield Span(Kind.NOT_ASKED, self._covered, end)
        elif end - start >= self._min_frames and self._buffer.end > self._source.sample(start):
            yield from self._window(start, end)
        else:
            if start > self._covered:
                yield Span(Kind.NOT_ASKED, self._covered, start)
            yield Span(Kind.TOO_SHORT, max(start, self._covered), end)


def _frames(seconds: float, source: Source) -> Fraction:
    """Seconds, exactly as the decimals of an option, to frames."""
    return Fraction(str(seconds)) * source.source_hz
