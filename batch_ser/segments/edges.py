"""Where speech begins and ends, nearer than the detector's regions tell, in noise above all.

The detector starts late where a voice is soft, and in noise it takes some 100 ms to notice that
somebody has stopped. Nothing here drops a region: a start moves to the front by less than half a
second, the pause that stays inside a segment anyway, and an end to the front by 160 ms at most.
"""

from collections import deque

import numpy as np

from batch_ser.segments.silero import FRAME, RATE_HZ

# Chosen on half of the speakers of `benchmarks/detection.py`, which judges them on the others.
REACH = 15  # frames before a region in which its start is looked for
HINT = 0.1  # a probability of the first sounds of a voice
FADE, SURE = 2, 0.8  # so many frames at the end must be likelier than that
TRIM = 5  # frames that an end moves by at most
ABOVE_DB = 1.5  # what is louder than the noise by that is heard
NOISE_PERCENTILE = 30.0  # of the levels of the last 10 s: the noise
SILENCE_DB = -60.0  # of full scale: noise that is softer counts as if it were that
FRAMES_KEPT = 10 * RATE_HZ // FRAME + 1


class Edges:
    """The last frames' levels and probabilities, and what they say of a region's edges."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=FRAMES_KEPT)
        self._speech: deque[float] = deque(maxlen=FRAMES_KEPT)
        self._end = 0  # frames seen

    def append(self, energy: float, probability: float) -> None:
        self._levels.append(float(10 * np.log10(energy / FRAME + 1e-10)))
        self._speech.append(probability)
        self._end += 1

    def _noise(self) -> float:
        """The level that a voice is heard above."""
        floor = float(np.percentile(np.array(self._levels), NOISE_PERCENTILE))
        return max(floor, SILENCE_DB) + ABOVE_DB

    def start(self, start: int) -> int:
        """Where the speech of a region begins that has just been opened at `start` samples."""
        first, at = self._end - len(self._levels), start // FRAME
        earliest = max(first, at - REACH)
        hints = [n for n in range(earliest, at) if self._speech[n - first] >= HINT]
        at, noise = min(hints, default=at), self._noise()
        while at > earliest and self._levels[at - 1 - first] >= noise:
            at -= 1
        return at * FRAME

    def end(self, end: int) -> int:
        """Where the speech of a region ends that has just been closed at `end` samples.

        A region that hung between both thresholds for 10 s is left as it is.
        """
        first, last = self._end - len(self._levels), -(-end // FRAME)
        if last - TRIM < first:
            return end
        at, noise = last, self._noise()
        while last - at < FADE and self._speech[at - 1 - first] < SURE:
            at -= 1
        while last - at < TRIM and self._levels[at - 1 - first] < noise:
            at -= 1
        return min(at * FRAME, end)
