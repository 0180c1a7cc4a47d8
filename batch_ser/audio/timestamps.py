"""When sound begins in a container that stamps it with times.

Recorders of calls write nothing while nobody speaks, and the sound of a film may begin after its
picture: only the time stamps show it. They count up to the container's stated length. In an Ogg
file they show how long the sound of damaged pages was.
"""

from av.audio.stream import AudioStream
from av.container import InputContainer

from batch_ser.audio.ogg_pages import PageSummary

TIMESTAMPED = ("mov", "matroska")  # others count from anywhere, or have no time stamps
JITTER_S = 0.05  # of a recorder's clock, or an encoder's delay: no pause
MAX_SILENCE_S = 86_400.0  # in all
MAX_START_S = 60.0  # of damaged pages before the first sound; Ogg may count from anywhere
MAX_UNSTATED_S = 3_600.0  # in all, where no length is stated: live recordings


class Timestamps:
    """The pauses that one stream's time stamps leave."""

    def __init__(
        self, container: InputContainer, stream: AudioStream, pages: PageSummary | None = None
    ) -> None:
        self._pages, self._unit_s = pages, float(stream.time_base or 0)
        self._are_used = bool(pages) or container.format.name.startswith(TIMESTAMPED)
        self._end_s = end_s(container, stream)
        self._left_s = MAX_SILENCE_S if self._end_s else MAX_UNSTATED_S
        self._late_s = 0.0  # by which time stamps are late after those that were rejected
        self.rejected = False

    @property
    def last_s(self) -> float:
        """When the last page of an Ogg file ends."""
        return self._pages.last * self._unit_s - self._late_s if self._pages else 0.0

    def pause_s(self, stamp_s: float | None, at_s: float) -> float:
        """The silence before a frame with this time stamp, behind `at_s` seconds of sound."""
        if stamp_s is None or not self._are_used:
            return 0.0
        pause_s = stamp_s - self._late_s - at_s
        if pause_s <= JITTER_S:
            return 0.0
        if self._pages and not at_s and not (self._pages.start_lost and pause_s < MAX_START_S):
            self._late_s = pause_s
            return 0.0
        beyond = self._end_s and stamp_s - self._late_s > self._end_s + JITTER_S
        if beyond or pause_s > self._left_s:
            self._late_s += pause_s
            self.rejected = True
            return 0.0
        self._left_s -= pause_s
        return pause_s


def end_s(container: InputContainer, stream: AudioStream) -> float:
    """When a container ends, as it states; 0 when it states nothing."""
    ends_s = [(container.duration or 0) / 1e6]
    if container.format.name.startswith(("mov", "ogg")) and stream.duration and stream.time_base:
        ends_s.append(float((stream.duration + (stream.start_time or 0)) * stream.time_base))
    return max(ends_s)
