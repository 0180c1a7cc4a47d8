"""Excerpts of one recording, exact to a sample, at its own rate; memory holds a block of it."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

from batch_ser.audio.channels import channel
from batch_ser.audio.recording import Reading, Recording
from batch_ser.audio.samples import Samples
from batch_ser.errors import FileError, Reason


class Excerpt(NamedTuple):
    """What is cut from a recording: the samples of [start_s, end_s)."""

    channel: int  # -1: all of them, mixed
    start_s: float
    end_s: float


class Excerpts:
    """Excerpts of a recording, which is decoded once, up to the end of the last."""

    def __init__(self, path: str, reading: Reading, wanted: Sequence[Excerpt]) -> None:
        """Open a recording.

        Raises:
            FileError: it cannot be opened, or lacks a channel.
        """
        self._recording = Recording(path, reading)
        self.rate_hz = self._recording.rate_hz
        self._wanted = wanted
        last = max((each.channel for each in wanted), default=0)
        if last >= self._recording.channels:
            self._recording.close()
            raise FileError(Reason.BAD_CHANNELS, f"it has no channel {last}")

    def frames(self, number: int) -> tuple[int, int]:
        """Where an excerpt begins, and the frame after its last."""
        excerpt = self._wanted[number]
        return round(excerpt.start_s * self.rate_hz), round(excerpt.end_s * self.rate_hz)

    def parts(self) -> Iterator[tuple[int, Samples]]:
        """The next samples (n,) of an excerpt, by its number; of one after the end there are none.

        Raises:
            FileError: it cannot be decoded.
        """
        numbers = range(len(self._wanted))
        waiting, begun = deque(sorted(numbers, key=self.frames)), list[int]()
        at = 0
        with closing(self._recording):
            for block in self._recording.blocks():
                end = at + len(block)
                while waiting and self.frames(waiting[0])[0] < end:
                    begun.append(waiting.popleft())
                for number in begun:
                    first, last = (max(0, frame - at) for frame in self.frames(number))
                    yield number, channel(block[first:last], self._wanted[number].channel)
                begun = [number for number in begun if self.frames(number)[1] > end]
                at = end
                if not waiting and not begun:
                    return
