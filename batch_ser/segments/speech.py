"""Speech segments: utterances made of the regions that Silero's detector finds."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from batch_ser.audio import Resampler, Samples
from batch_ser.segments.edges import REACH, TRIM, Edges
from batch_ser.segments.segmenter import (
    Kind,
    SegmentSettings,
    Source,
    Span,
    Track,
    at_rate,
    in_pieces,
)
from batch_ser.segments.silero import FRAME, RATE_HZ, Detector, Frames, Regions

# Small, because the edges of regions are looked for (`edges.py`); chosen like what is there.
PAD = RATE_HZ * 10 // 1000  # kept before speech
TAIL = RATE_HZ * 20 // 1000  # and behind it
MERGE = RATE_HZ // 2  # pauses up to this stay inside a segment


class Utterance(NamedTuple):
    """Closed regions, merged so far."""

    begins: int  # the first one's speech
    start: int  # the first one
    end: int  # the last one
    ends: int  # its speech


class Speech:
    """Utterances: regions merged over short pauses, their edges found, cut where they are quiet.

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
        self._edges = Edges()
        self._begins = 0  # where the speech of the open region does
        self._utterance: Utterance | None = None
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
            self._hear(frame, probability)
            yield from self._settle()
        if total is not None:
            yield from self._finish(self._frames.end, total)

    def _hear(self, frame: Samples, probability: np.float32) -> None:
        energy, before = float(np.dot(frame, frame)), self._regions.start
        self._loudness.append(energy)
        self._edges.append(energy, float(probability))
        self._regions.update(np.array([probability]))
        if before is None and self._regions.start is not None:
            self._begins = self._edges.start(self._regions.start)

    def _settle(self) -> Iterator[Span]:
        """Emit what later sound cannot change."""
        regions = self._regions
        for region in regions.closed:
            yield from self._merge(*region)
        regions.closed.clear()
        reaches = regions.reaches
        if self._utterance:
            reached = regions.start if regions.start is not None else regions.now
            if reached - self._utterance.ends > MERGE:
                yield from self._end_utterance(self._utterance)
        if reaches is not None and regions.start is not None:
            begins = self._utterance.begins if self._utterance else self._begins
            reaches -= TRIM * FRAME  # its end may yet be found there
            if reaches - self._begin(begins) >= self._max + self._min:
                yield from self._open(begins)
                yield from self._cut_to(reaches)
        if not self._utterance and regions.start is None and not self._cutting:
            yield from self._skip_silence()

    def _merge(self, start: int, end: int) -> Iterator[Span]:
        """Take a region that has just been closed."""
        ends, said = self._edges.end(end), self._utterance
        if said and start - said.ends > MERGE:
            yield from self._end_utterance(said)
            said = None
        begins, start = (said.begins, said.start) if said else (self._begins, start)
        self._utterance = Utterance(begins, start, end, ends)

    def _begin(self, begins: int) -> int:
        """Where an utterance's sound begins: padded, or where the last cut was."""
        return self._cursor if self._cutting else max(begins - PAD, self._cursor)

    def _open(self, begins: int) -> Iterator[Span]:
        if not self._cutting:
            yield from self._span(Kind.NOT_SPEECH, self._begin(begins))
            self._cutting = True

    def _cut_to(self, end: int) -> Iterator[Span]:
        """Cut an utterance that goes on at least until `end`, as far as that settles."""
        while end - self._cursor >= self._max + self._min:
            yield from self._cut(self._cursor + self._max)

    def _cut(self, latest: int) -> Iterator[Span]:
        earliest = self._cursor + self._max // 2
        yield from self._span(Kind.SCORED, self._loudness.quietest(earliest, latest))

    def _end_utterance(self, said: Utterance) -> Iterator[Span]:
        """Emit an utterance whose end is known."""
        if not self._cutting and said.end - said.start < self._min:
            yield from self._span(Kind.NOT_SPEECH, said.start)
            yield from self._span(Kind.TOO_SHORT, said.end)
        else:
            yield from self._open(said.begins)
            # what is long enough stays so, however much of its end is noise
            end = min(max(said.ends + TAIL, said.start + self._min), self._frames.end)
            while end - self._cursor > self._max:
                yield from self._cut(min(self._cursor + self._max, end - self._min))
            yield from self._span(Kind.SCORED, end)
        self._utterance, self._cutting = None, False

    def _skip_silence(self) -> Iterator[Span]:
        """Let go of long silence, so that an hour of it is not held."""
        settled = self._regions.now - PAD - (REACH + 1) * FRAME
        if settled - self._cursor >= 10 * RATE_HZ:
            yield from self._span(Kind.NOT_SPEECH, settled)

    def _finish(self, end: int, total: int) -> Iterator[Span]:
        """Emit the rest: the last sample is at `end` here, and at `total` in the source."""
        self._last = end, total
        self._regions.finish(end)
        for region in self._regions.closed:
            yield from self._merge(*region)
        if self._utterance:
            yield from self._end_utterance(self._utterance)
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

    def append(self, energy: float) -> None:
        self._energies.append(energy)

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
