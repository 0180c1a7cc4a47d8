"""Speech on one channel: its regions, and which of them are crosstalk, which may be silenced."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

from batch_ser.audio import Samples
from batch_ser.segments.crosstalk import Envelopes
from batch_ser.segments.segmenter import SampleBuffer, Source
from batch_ser.segments.speech import Speech

JUDGED_S = 30.0  # of a region, by which it is judged: what waits for that is in memory


class Region(NamedTuple):
    """Speech [start, end), in frames of the source; with `crosstalk` it is another channel's."""

    start: int
    end: int
    crosstalk: bool


class ChannelRegions:
    """The regions of one channel, judged as soon as they end, or at 30 s."""

    def __init__(
        self, number: int, source: Source, envelopes: Envelopes | None, others: Sequence[int]
    ) -> None:
        """`envelopes` has all channels of the recording; the `others` may leak into this one."""
        self.regions: list[Region] = []  # in order
        self.settled = 0  # frames of the source before which all regions are known and judged
        self._open: Region | None = None  # one that was judged while it goes on
        self._source = source
        self._envelopes = envelopes if others else None
        self._number, self._others = number, others
        self._judged = round(JUDGED_S * source.source_hz)

    def take(self, speech: Speech) -> None:
        """Take what a detector has found by now. Envelopes must be there as far as samples are."""
        for start, end in speech.regions:
            self.regions.append(Region(start, end, self._is_crosstalk(start, end)))
            self._open = None
        speech.regions.clear()
        self.settled = speech.settled
        if (region := speech.open_region) and region[1] - region[0] >= self._judged:
            self._open = Region(*region, self._is_crosstalk(*region))
            self.settled = region[1]
        else:
            self._open = None

    def _is_crosstalk(self, start: int, end: int) -> bool:
        if self._open and self._open.start == start:
            return self._open.crosstalk  # by its first 30 s, whatever the blocks
        if self._envelopes is None:
            return False
        end = min(end, start + self._judged)
        return self._envelopes.is_crosstalk(self._number, start, end, self._others)

    def speech_frames(self, start: int, end: int) -> tuple[int, int]:
        """Frames of [start, end) with speech of this channel, and with crosstalk."""
        frames = [0, 0]
        for region in self._around(start, end):
            frames[region.crosstalk] += min(end, region.end) - max(start, region.start)
        return frames[0], frames[1]

    def crosstalk(self, start: int, end: int) -> Iterator[Region]:
        """Crosstalk in [start, end)."""
        return (region for region in self._around(start, end) if region.crosstalk)

    def _around(self, start: int, end: int) -> Iterator[Region]:
        first = bisect_right(self.regions, start, key=lambda region: region.end)
        for region in chain(islice(self.regions, first, None), [self._open] if self._open else []):
            if region.start >= end:
                return
            if region.end > start:
                yield region


class Gate:
    """Samples of one channel, held back until it is known what of them is crosstalk: silenced."""

    def __init__(self, source: Source, detected: ChannelRegions) -> None:
        self._source, self._detected = source, detected
        self._buffer = SampleBuffer()

    def __call__(self, samples: Samples, *, last: bool) -> Samples:
        """The samples that may be scored now, at the network's rate, given the next ones."""
        self._buffer.append(samples)
        settled = self._source.sample(self._detected.settled)
        start, end = self._buffer.start, self._buffer.end
        end = end if last else max(start, min(settled, end))
        passed = self._buffer.cut(start, end)
        first, beyond = self._source.frame(start), self._source.frame(end) + 1
        for region in self._detected.crosstalk(first, beyond):
            begin, stop = (self._source.sample(at) - start for at in region[:2])
            passed[max(0, begin) : max(0, stop)] = 0.0
        self._buffer.drop(end)
        return passed
