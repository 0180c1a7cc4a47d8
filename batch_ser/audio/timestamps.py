"""Where sound stands in a container that stamps it with times.

Recorders of calls write nothing while nobody speaks, and the sound of a film may begin after its
picture: only the stamps tell. They are believed as far as the container's stated length goes. In an
Ogg file they tell what stood in damaged pages.
"""

from av.audio.stream import AudioStream
from av.container import InputContainer

from batch_ser.audio.ogg_pages import Survey

STAMPED = ("mov", "matroska")  # others count from anywhere, or do not stamp
SLACK_S = 0.05  # less than this is how a recorder's clock trembles, or an encoder's delay
LONGEST_S = 86_400.0  # of silence in all
LONGEST_START_S = 60.0  # of damaged pages before the first sound; Ogg may count from anywhere
LONGEST_UNSTATED_S = 3_600.0  # where the container does not say how long it is: live recordings


class Stamps:
    """The pauses that one stream's time stamps leave."""

    def __init__(
        self, container: InputContainer, stream: AudioStream, pages: Survey | None = None
    ) -> None:
        self._pages, self._unit_s = pages, float(stream.time_base or 0)
        self._believed = bool(pages) or container.format.name.startswith(STAMPED)
        self._end_s = end_s(container, stream)
        self._left_s = LONGEST_S if self._end_s else LONGEST_UNSTATED_S
        self._late_s = 0.0  # by which stamps come that were not believed
        self.refused = False

    @property
    def last_s(self) -> float:
        """When the last page of Ogg is due."""
        return self._pages.last * self._unit_s - self._late_s if self._pages else 0.0

    def pause_s(self, stamp_s: float | None, at_s: float) -> float:
        """The silence before a frame that is stamped so, behind `at_s` seconds of sound."""
        if stamp_s is None or not self._believed:
            return 0.0
        pause_s = stamp_s - self._late_s - at_s
        if pause_s <= SLACK_S:
            return 0.0
        if self._pages and not at_s and not (self._pages.start_lost and pause_s < LONGEST_START_S):
            self._late_s = pause_s
            return 0.0
        beyond = self._end_s and stamp_s - self._late_s > self._end_s + SLACK_S
        if beyond or pause_s > self._left_s:
            self._late_s += pause_s
            self.refused = True
            return 0.0
        self._left_s -= pause_s
        return pause_s


def end_s(container: InputContainer, stream: AudioStream) -> float:
    """When a container ends by what it states; 0 when it does not."""
    ends_s = [(container.duration or 0) / 1e6]
    if container.format.name.startswith(("mov", "ogg")) and stream.duration and stream.time_base:
        ends_s.append(float((stream.duration + (stream.start_time or 0)) * stream.time_base))
    return max(ends_s)
