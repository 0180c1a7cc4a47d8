"""Speech on all channels of a recording that are chosen, and how they leak into each other."""

from batch_ser.audio import MIXED, Samples
from batch_ser.segments import ChannelRegions, Envelopes, Source
from jobs.worker.channels import OpenRecording


class Detection:
    """The regions of speech of a recording's channels, which share the envelopes of all."""

    def __init__(self, opened: OpenRecording) -> None:
        self._numbers = opened.numbers
        several = len(opened.numbers) > 1 and MIXED not in opened.numbers
        self._envelopes = Envelopes(opened.recording.rate_hz) if several else None
        self._channels: list[ChannelRegions] = []

    def of_channel(self, number: int, source: Source) -> ChannelRegions:
        """The regions of one channel."""
        others = [each for each in self._numbers if each != number]
        detected = ChannelRegions(number, source, self._envelopes, others)
        self._channels.append(detected)
        return detected

    def append(self, block: Samples | None) -> None:
        """The next samples (frames, channels), before any channel has them; None after the last."""
        if self._envelopes:
            self._envelopes.append(block)

    def drop(self) -> None:
        """Drop what no region needs any more."""
        if self._envelopes:
            self._envelopes.drop(min(each.settled for each in self._channels))
