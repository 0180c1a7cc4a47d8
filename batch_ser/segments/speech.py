"""Speech segments: utterances, made of the regions that Silero's detector finds."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from batch_ser.audio import Resampler, Samples
from batch_ser.segments.edges import MAX_ADVANCE, MAX_TRIM, Edges
from batch_ser.segments.segmenter import (
    Kind,
    SampleBuffer,
    SegmentSettings,
    Source,
    Span,
    at_rate,
    in_pieces,
)
from batch_ser.segments.silero import FRAME, MIN_SPEECH, RATE_HZ, Detector, Frames, Regions

# Small, because the edges of regions are searched (`edges.py`); chosen as the constants there.
PAD = RATE_HZ * 10 // 1000  # kept before speech
TAIL = RATE_HZ * 20 // 1000  # kept behind it
MERGE = RATE_HZ // 2  # pauses up to this stay inside a segment


class Utterance(NamedTuple):
    """Closed regions, merged so far."""

    speech_start: int  # in the first region
    start: int  # of the first region
    end: int  # of the last region
    speech_end: int  # in the last region


class Speech:
    """Utterances: regions merged over short pauses, with exact edges, cut where they are quiet.

    Longer than `max_s`: cut in the middle of the quietest 32 ms of the last half of `max_s`,
    leaving at least `min_s`. Shorter than `min_s` after merging: too short. Positions are samples
    at 16 kHz, on which the detector works, and become frames of the source in `_span`.

    `regions` has the regions themselves, unmerged and unpadded, in frames of the source, for the
    caller to take.
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
        self._buffer = SampleBuffer()  # at the network's rate
        self._loudness = Loudness()
        self._edges = Edges()
        self.regions: list[tuple[int, int]] = []
        self._region_end = 0  # of the last one, in samples
        self._speech_start = 0  # in the open region
        self._utterance: Utterance | None = None
        self._cursor = 0  # everything before is in a span,
        self._frame_cursor = 0  # the same in frames of the source
        self._cutting = False  # the cursor is inside an utterance
        self._end: tuple[int, int] | None = None  # of the channel: here, and in the source

    def __call__(self, samples: Samples, total: int | None = None) -> Iterator[Span]:
        self._buffer.append(samples)
        resampled = self._to_detector(samples)
        if total is not None:
            rest = self._to_detector(np.zeros(0, np.float32), last=True)
            resampled = np.concatenate([resampled, rest])
        frames = self._frames(resampled, last=total is not None)
        # one call of the graph for the block, but the state machine and the spans frame by frame:
        # what is emitted never depends on where a block ends
        for frame, probability in zip(frames, self._detect(frames), strict=True):
            self._add_frame(frame, probability)
            yield from self._settle()
        if total is not None:
            yield from self._finish(self._frames.end, total)

    def _add_frame(self, frame: Samples, probability: np.float32) -> None:
        energy, before = float(np.dot(frame, frame)), self._regions.start
        self._loudness.append(energy)
        self._edges.append(energy, float(probability))
        self._regions.update(np.array([probability]))
        if before is None and self._regions.start is not None:
            self._speech_start = self._edges.start(self._regions.start)

    def _settle(self) -> Iterator[Span]:
        """Emit what later sound cannot change."""
        regions = self._regions
        for region in regions.closed:
            yield from self._merge(*region)
        regions.closed.clear()
        earliest_end = regions.earliest_end(self._frames.end)
        if self._utterance:
            next_start = regions.start if regions.start is not None else regions.now
            if next_start - self._utterance.speech_end > MERGE:
                yield from self._end_utterance(self._utterance)
        if earliest_end is not None:
            start = self._utterance.speech_start if self._utterance else self._speech_start
            earliest_end -= MAX_TRIM * FRAME
            if earliest_end - self._padded_start(start) >= self._max + self._min:
                yield from self._open(start)
                yield from self._cut_to(earliest_end)
        if not self._utterance and regions.start is None and not self._cutting:
            yield from self._skip_silence()

    def _merge(self, start: int, end: int) -> Iterator[Span]:
        """Add a region that has just been closed to the utterance, or begin another one."""
        speech_end, utterance = self._edges.end(end), self._utterance
        self._add_region(end, speech_end)
        if utterance and start - utterance.speech_end > MERGE:
            yield from self._end_utterance(utterance)
            utterance = None
        if utterance:
            self._utterance = utterance._replace(end=end, speech_end=speech_end)
        else:
            self._utterance = Utterance(self._speech_start, start, end, speech_end)

    def _add_region(self, end: int, speech_end: int) -> None:
        """Of a region that ends at `end` to the detector: with exact edges, but not shortened."""
        start = self._region_start
        self._region_end = max(speech_end, min(end, start + MIN_SPEECH))
        self.regions.append((self._frame(start), self._frame(self._region_end)))

    @property
    def _region_start(self) -> int:
        return max(self._speech_start, self._region_end)

    @property
    def open_region(self) -> tuple[int, int] | None:
        """The region that goes on, as far as its end is certain; None while there is none."""
        end = self._regions.earliest_end(self._frames.end)
        if end is None:
            return None
        end = max(end - MAX_TRIM * FRAME, self._region_start)
        return self._frame(self._region_start), self._frame(end)

    @property
    def settled(self) -> int:
        """The frame of the source before which all regions are known."""
        if self._end:
            return self._end[1]
        now = self._regions.now - MAX_ADVANCE * FRAME
        at = now if self._regions.start is None else self._speech_start
        return self._frame(max(at, self._region_end))

    def _padded_start(self, speech_start: int) -> int:
        """Where an utterance's samples begin: with padding, or at the last cut."""
        return self._cursor if self._cutting else max(speech_start - PAD, self._cursor)

    def _open(self, speech_start: int) -> Iterator[Span]:
        if not self._cutting:
            yield from self._span(Kind.NOT_SPEECH, self._padded_start(speech_start))
            self._cutting = True

    def _cut_to(self, end: int) -> Iterator[Span]:
        """Cut an utterance that goes on until `end` at least, as far as the cuts are final."""
        while end - self._cursor >= self._max + self._min:
            yield from self._cut(self._cursor + self._max)

    def _cut(self, latest: int) -> Iterator[Span]:
        earliest = self._cursor + self._max // 2
        yield from self._span(Kind.SCORED, self._loudness.quietest(earliest, latest))

    def _end_utterance(self, utterance: Utterance) -> Iterator[Span]:
        """Emit an utterance whose end is known."""
        start, end = utterance.start, utterance.end
        if not self._cutting and end - start < self._min:
            yield from self._span(Kind.NOT_SPEECH, start)
            yield from self._span(Kind.TOO_SHORT, end)
        else:
            yield from self._open(utterance.speech_start)
            # what is long enough stays so, however much of its end is noise
            end = min(max(utterance.speech_end + TAIL, start + self._min), self._frames.end)
            while end - self._cursor > self._max:
                yield from self._cut(min(self._cursor + self._max, end - self._min))
            yield from self._span(Kind.SCORED, end)
        self._utterance, self._cutting = None, False

    def _skip_silence(self) -> Iterator[Span]:
        """Emit long silence, so that an hour of it is not held in memory."""
        settled = self._regions.now - PAD - (MAX_ADVANCE + 1) * FRAME
        if settled - self._cursor >= 10 * RATE_HZ:
            yield from self._span(Kind.NOT_SPEECH, settled)

    def _finish(self, end: int, total: int) -> Iterator[Span]:
        """Emit the rest: the last sample is at `end` here, and at `total` in the source."""
        self._end = end, total
        self._regions.finish(end)
        for region in self._regions.closed:
            yield from self._merge(*region)
        if self._utterance:
            yield from self._end_utterance(self._utterance)
        yield from self._span(Kind.NOT_SPEECH, end)

    def _frame(self, at: int) -> int:
        """The source's frame at a position; at the channel's end exactly its last."""
        frame = at_rate(at, RATE_HZ, self._source.source_hz)
        if self._end is None:
            return frame
        end, total = self._end
        return total if at >= end else min(frame, total)

    def _sample(self, at: int) -> int:
        return min(at_rate(at, RATE_HZ, self._source.rate_hz), self._buffer.end)

    def _span(self, kind: Kind, end: int) -> Iterator[Span]:
        """Everything from the cursor to `end` is of this kind."""
        start, stop = self._frame_cursor, self._frame(end)
        if kind is Kind.SCORED:
            samples = self._buffer.cut(self._sample(self._cursor), self._sample(end))
            yield from in_pieces(start, samples, self._piece, stop)
        elif stop > start:
            yield Span(kind, start, stop)
        self._cursor, self._frame_cursor = end, stop
        self._buffer.drop(self._sample(end))
        self._loudness.drop(end)


class Loudness:
    """Energy of each frame that may still be cut."""

    def __init__(self) -> None:
        self._energies: list[float] = []
        self._first = 0

    def append(self, energy: float) -> None:
        self._energies.append(energy)

    def quietest(self, earliest: int, latest: int) -> int:
        """The middle of the quietest frame in [earliest, latest] samples."""
        first, last = -(-earliest // FRAME), latest // FRAME
        energies = self._energies[first - self._first : last - self._first]
        if not energies:
            return latest
        return (first + int(np.argmin(energies))) * FRAME + FRAME // 2

    def drop(self, before: int) -> None:
        gone = max(0, before // FRAME - self._first)
        del self._energies[:gone]
        self._first += gone
