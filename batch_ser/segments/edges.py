"""Where speech begins and ends, more exactly than the detector's regions, above all in noise.

The detector starts late where a voice is soft, and in noise it ends some 100 ms after the voice.
Nothing here drops a region: a start becomes earlier by less than half a second, the pause that
stays inside a segment anyway, and an end becomes earlier by 160 ms at most.
"""

from collections import deque

import numpy as np

from batch_ser.segments.silero import FRAME, RATE_HZ

# Chosen on half of the speakers of `benchmarks/detection.py`, which measures them on the others.
MAX_ADVANCE = 15  # frames before a region in which its start is searched
ONSET_THRESHOLD = 0.1  # probability of speech in the first sounds of a voice
FADE = 2  # frames at the end that are cut where they are hardly speech
FADE_THRESHOLD = 0.8  # probability of speech below which they are cut
MAX_TRIM = 5  # frames that an end moves by
ABOVE_NOISE_DB = 1.5  # at least, of a frame with speech
NOISE_PERCENTILE = 30.0  # of the levels of the last 10 s: the noise
MIN_NOISE_DB = -60.0  # of full scale: the least that noise is taken to be
FRAMES_KEPT = 10 * RATE_HZ // FRAME + 1


class Edges:
    """The last frames' levels and probabilities of speech, and the edges found by them."""

    def __init__(self) -> None:
        self._levels: deque[float] = deque(maxlen=FRAMES_KEPT)
        self._speech: deque[float] = deque(maxlen=FRAMES_KEPT)
        self._end = 0  # frames so far

    def append(self, energy: float, probability: float) -> None:
        self._levels.append(float(10 * np.log10(energy / FRAME + 1e-10)))
        self._speech.append(probability)
        self._end += 1

    def _min_speech_db(self) -> float:
        """The level of the noise, and the margin that a voice has above it."""
        floor = float(np.percentile(np.array(self._levels), NOISE_PERCENTILE))
        return max(floor, MIN_NOISE_DB) + ABOVE_NOISE_DB

    def start(self, start: int) -> int:
        """Where speech begins, in samples, of a region that has just been opened at `start`."""
        first, at = self._end - len(self._levels), start // FRAME
        earliest = max(first, at - MAX_ADVANCE)
        onsets = [n for n in range(earliest, at) if self._speech[n - first] >= ONSET_THRESHOLD]
        at, speech_db = min(onsets, default=at), self._min_speech_db()
        while at > earliest and self._levels[at - 1 - first] >= speech_db:
            at -= 1
        return at * FRAME

    def end(self, end: int) -> int:
        """Where speech ends, in samples, of a region that has just been closed at `end`.

        A region that was between both thresholds for 10 s is left as it is.
        """
        first, last = self._end - len(self._levels), -(-end // FRAME)
        if last - MAX_TRIM < first:
            return end
        at, speech_db = last, self._min_speech_db()
        while last - at < FADE and self._speech[at - 1 - first] < FADE_THRESHOLD:
            at -= 1
        while last - at < MAX_TRIM and self._levels[at - 1 - first] < speech_db:
            at -= 1
        return min(at * FRAME, end)
