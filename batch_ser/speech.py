"""Speech segments: utterances made of the regions that Silero's detector finds."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from batch_ser.resample import Resampler
from batch_ser.samples import Samples
from batch_ser.segment import Kind, SegmentSettings, Source, Span, Track, at_rate, in_pieces
from batch_ser.silero import FRAME, RATE_HZ, Detector, Frames, Regions

# Chosen on half of the speakers of `benchmarks/detection.py`, which judges it on the others: the
# detector finds starts 20 ms late in the median and some by 100, but ends late, too, by 40 ms, and
# by 90 in noise: that is the padding behind. More of either costs precision and gains no recall.
PAD = RATE_HZ * 80 // 1000  # kept before speech
MERGE = RATE_HZ // 2  # pauses up to this stay inside a segment


class Speech:
    """Utterances: regions merged over short pauses, padded, cut where they are quiet.

    Longer than `max_s`: cut in the middle of the quietest 32 ms of the last half of `max_s`,
    leaving at least `min_s`. Shorter than `min_s` after merging: too short. Positions are samples
    at 16 kHz, on which the detector works, and become frames of the source in `_span`.
    """

    def __init__(self, source: Source, settings: SegmentSettings) -> None:
        self._source = source
        self._to_detector = Resampler(source.rate_hz, RATE_HZ)
        self._max = round(settings.max_s * RATE_HZ)
        self._min = round(settings.min_s * RATE_HZ)
        self._piece = round(settings.piece_s * source.rate_hz)
        self._frames = Frames()
        self._detect = Detector()
        self._regions = Regions()
        self._track = Track()  # at the network's rate
        self._loudness = Loudness()
        self._utterance: tuple[int, int] | None = None  # closed regions, merged so far
        self._cursor = 0  # everything before is in a span,
        self._told = 0  # which reached this frame of the source
        self._cutting = False  # the cursor stands inside an utterance
        self._last: tuple[int, int] | None = None  # the end here, and in frames of the source

    def __call__(self, samples: Samples, total: int | None = None) -> Iterator[Span]:
        self._track.append(samples)
        heard = self._to_detector(samples)
        if total is not None:
            rest = self._to_detector(np.zeros(0, np.float32), last=True)
            heard = np.concatenate([heard, rest])
        frames = self._frames(heard, last=total is not None)
        # one call of the graph for the block, but the state machine and the spans frame by frame:
        # what is emitted never depends on where a block ends
        for frame, probability in zip(frames, self._detect(frames), strict=True):
            self._loudness.append(frame)
            self._regions.update(np.array([probability]))
            yield from self._settle()
        if total is not None:
            yield from self._finish(self._frames.end, total)

    def _settle(self) -> Iterator[Span]:
        """Emit what later sound cannot change."""
        regions = self._regions
        for region in regions.closed:
            yield from self._merge(*region)
        regions.closed.clear()
        reaches = regions.reaches
        if self._utterance:
            start, end = self._utterance
            if (regions.start if regions.start is not None else regions.now) - end > MERGE:
                yield from self._end_utterance(start, end)
        if reaches is not None and regions.start is not None:
            start = self._utterance[0] if self._utterance else regions.start
            if reaches - self._begin(start) >= self._max + self._min:
                yield from self._open(start)
                yield from self._cut_to(reaches)
        if not self._utterance and regions.start is None and not self._cutting:
            yield from self._skip_silence()

    def _merge(self, start: int, end: int) -> Iterator[Span]:
        if self._utterance and start - self._utterance[1] > MERGE:
            yield from self._end_utterance(*self._utterance)
        self._utterance = (self._utterance[0] if self._utterance else start, end)

    def _begin(self, start: int) -> int:
        """Where an utterance's sound begins: padded, or where the last cut was."""
        return self._cursor if self._cutting else max(start - PAD, self._cursor)

    def _open(self, start: int) -> Iterator[Span]:
        if not self._cutting:
            yield from self._span(Kind.NOT_SPEECH, self._begin(start))
            self._cutting = True

    def _cut_to(self, end: int) -> Iterator[Span]:
        """Cut an utterance that goes on at least until `end`, as far as that settles."""
        while end - self._cursor >= self._max + self._min:
            yield from self._cut(self._cursor + self._max)

    def _cut(self, latest: int) -> Iterator[Span]:
        earliest = self._cursor + self._max // 2
        yield from self._span(Kind.SCORED, self._loudness.quietest(earliest, latest))

    def _end_utterance(self, start: int, end: int) -> Iterator[Span]:
        """Emit an utterance whose end is known."""
        if not self._cutting and end - start < self._min:
            yield from self._span(Kind.NOT_SPEECH, start)
            yield from self._span(Kind.TOO_SHORT, end)
        else:
            yield from self._open(start)
            while end - self._cursor > self._max:
                yield from self._cut(min(self._cursor + self._max, end - self._min))
            yield from self._span(Kind.SCORED, end)
        self._utterance, self._cutting = None, False

    def _skip_silence(self) -> Iterator[Span]:
        """Let go of long silence, so that an hour of it is not held."""
        settled = self._regions.now - PAD - FRAME
        if settled - self._cursor >= 10 * RATE_HZ:
            yield from self._span(Kind.NOT_SPEECH, settled)

    def _finish(self, end: int, total: int) -> Iterator[Span]:
        """Emit the rest: the last sample is at `end` here, and at `total` in the source."""
        self._last = end, total
        self._regions.finish(end)
        for region in self._regions.closed:
            yield from self._merge(*region)
        if self._utterance:
            yield from self._end_utterance(*self._utterance)
        yield from self._span(Kind.NOT_SPEECH, end)

    def _frame(self, at: int) -> int:
        """The source's frame of a position; of the last one its end, whatever rounding says."""
        frame = at_rate(at, RATE_HZ, self._source.source_hz)
        if self._last is None:
            return frame
        end, total = self._last
        return total if at >= end else min(frame, total)

    def _sample(self, at: int) -> int:
        return min(at_rate(at, RATE_HZ, self._source.rate_hz), self._track.end)

    def _span(self, kind: Kind, end: int) -> Iterator[Span]:
        """Everything from the cursor to `end` is of this kind."""
        start, stop = self._told, self._frame(end)
        if kind is Kind.SCORED:
            heard = self._track.cut(self._sample(self._cursor), self._sample(end))
            yield from in_pieces(start, heard, self._piece, stop)
        elif stop > start:
            yield Span(kind, start, stop)
        self._cursor, self._told = end, stop
        self._track.forget(self._sample(end))
        self._loudness.forget(end)


class Loudness:
    """Energy of each frame that may still be cut."""

    def __init__(self) -> None:
        self._energies: list[float] = []
        self._first = 0

    def append(self, frame: NDArray[np.float32]) -> None:
        self._energies.append(float(np.dot(frame, frame)))

    def quietest(self, earliest: int, latest: int) -> int:
        """The middle of the quietest frame that lies in [earliest, latest] samples."""
        first, last = -(-earliest // FRAME), latest // FRAME
        energies = self._energies[first - self._first : last - self._first]
        if not energies:
            return latest
        return (first + int(np.argmin(energies))) * FRAME + FRAME // 2

    def forget(self, before: int) -> None:
        gone = max(0, before // FRAME - self._first)
        del self._energies[:gone]
        self._first += gone
