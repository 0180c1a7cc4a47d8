"""Speech on one channel: its regions, and which of them are crosstalk, which may be silenced."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from batch_ser.audio import Samples
from batch_ser.segments.crosstalk import Envelopes
from batch_ser.segments.segmenter import SampleBuffer, Source
from batch_ser.segments.speech import Speech

PART_S = 0.4  # of a region, at least, by which it is judged: chosen by `benchmarks/crosstalk.py`


class Region(NamedTuple):
    """Speech [start, end), in frames of the source; with `crosstalk` it is another channel's."""

    start: int
    end: int
    crosstalk: bool


class ChannelRegions:
    """The regions of one channel. Each is judged in parts of 0.4 to 0.8 s, as they come: the
    other side may be audible before and after this one without a pause.
    """

    def __init__(
        self, number: int, source: Source, envelopes: Envelopes | None, others: Sequence[int]
    ) -> None:
        """`envelopes` has all channels of the recording; the `others` may leak into this one."""
        self.regions: list[Region] = []  # in order; of one that is partly crosstalk several
        self.settled = 0  # frames of the source before which all regions are known and judged
        self._start = -1  # of the region that was judged last,
        self._judged = 0  # and as far as it was
        self._source = source
        self._envelopes = envelopes if others else None
        self._number, self._others = number, others
        self._part = round(PART_S * source.source_hz)

    def take(self, speech: Speech) -> None:
        """Take what a detector has found by now. Envelopes must be there as far as samples are."""
        for start, end in speech.regions:
            self._judge(start, end, closed=True)
        speech.regions.clear()
        self.settled = speech.settled
        if region := speech.open_region:
            self._judge(*region, closed=False)
            self.settled = max(self.settled, self._judged)

    def _judge(self, start: int, end: int, *, closed: bool) -> None:
        """Judge a region as far as it is known, whatever the blocks in which it comes."""
        if start != self._start:
            self._start = self._judged = start
        while end - self._judged >= 2 * self._part:
            self._add(self._judged + self._part)
        if closed and end > self._judged:
            self._add(end)

    def _add(self, end: int) -> None:
        """Judge the next part of the region; parts that are alike are one."""
        start, self._judged = self._judged, end
        crosstalk = self._envelopes is not None and self._envelopes.is_crosstalk(
            self._number, start, end, self._others
        )
        before = self.regions[-1] if start > self._start else None
        if before and before.crosstalk == crosstalk:
            self.regions[-1] = before._replace(end=end)
        else:
            self.regions.append(Region(start, end, crosstalk))

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
        for region in islice(self.regions, first, None):
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
