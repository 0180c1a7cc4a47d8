"""Silero's voice activity detector, over a stream.

Silero's own helpers drop the state between calls, so it is carried here, together with the state
machine over the frames' probabilities.
"""

from dataclasses import dataclass, field

import numpy as np

from batch_ser.audio import Samples
from batch_ser.segments.silero_network import first_state, speech_probabilities

RATE_HZ = 16_000
FRAME = 512  # samples: 32 ms
CONTEXT = 64  # samples of the frame before, another input of the network
FRAMES_PER_CALL = 512

# get_speech_timestamps' defaults
THRESHOLD = 0.5
NEGATIVE_THRESHOLD = 0.35
MIN_SPEECH = RATE_HZ // 4
MIN_SILENCE = RATE_HZ // 10


class Detector:
    """Frame probabilities of one stream at 16 kHz, its state carried from block to block."""

    def __init__(self) -> None:
        self._state = first_state()
        self._context = np.zeros(CONTEXT, np.float32)

    def __call__(self, frames: Samples) -> Samples:
        """Probabilities of speech (n,) in the next frames (n, 512)."""
        parts = [
            self._call(frames[first : first + FRAMES_PER_CALL])
            for first in range(0, len(frames), FRAMES_PER_CALL)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _call(self, frames: Samples) -> Samples:
        contexts = np.concatenate([self._context[None], frames[:-1, -CONTEXT:]])
        self._context = frames[-1, -CONTEXT:].copy()
        probabilities, self._state = speech_probabilities(
            np.hstack([contexts, frames]), self._state
        )
        return probabilities


class Frames:
    """Blocks of any size to whole frames; at the end the last one is filled with zeros."""

    def __init__(self) -> None:
        self.end = 0  # samples so far
        self._pending = np.zeros(0, np.float32)

    def __call__(self, samples: Samples, last: bool = False) -> Samples:
        """The frames (n, 512) that the next samples complete."""
        self.end += len(samples)
        waiting = np.concatenate([self._pending, samples])
        if last:
            waiting = np.pad(waiting, (0, -len(waiting) % FRAME))
        whole = len(waiting) - len(waiting) % FRAME
        self._pending = waiting[whole:]
        return waiting[:whole].reshape(-1, FRAME)


@dataclass
class Regions:
    """Silero's state machine: frame probabilities to regions of speech, in samples.

    Without a maximum length of a region, as `get_speech_timestamps(speech_pad_ms=0)` is by default.
    """

    now: int = 0  # samples so far
    start: int | None = None  # of the open region
    _silent_from: int | None = None
    closed: list[tuple[int, int]] = field(default_factory=list)  # for the caller to take

    def update(self, probabilities: Samples) -> None:
        """Add the probabilities of the next frames."""
        for probability in probabilities.tolist():
            self._frame(probability)
            self.now += FRAME

    def _frame(self, probability: float) -> None:
        if probability >= THRESHOLD:
            self._silent_from = None
            if self.start is None:
                self.start = self.now
        elif probability < NEGATIVE_THRESHOLD and self.start is not None:
            if self._silent_from is None:
                self._silent_from = self.now
            if self.now - self._silent_from >= MIN_SILENCE:
                self._close(self._silent_from)

    def _close(self, end: int) -> None:
        if self.start is not None and end - self.start > MIN_SPEECH:
            self.closed.append((self.start, end))
        self.start = self._silent_from = None

    def finish(self, total: int) -> None:
        """End the stream at `total` samples: an open region ends with it."""
        self._close(total)

    def earliest_end(self, total: int) -> int | None:
        """Where the open region ends at the earliest; None while it may yet be dropped.

        The stream has `total` samples so far: its last frame may be one that was filled.
        """
        if self.start is None:
            return None
        end = min(self.now, total) if self._silent_from is None else self._silent_from
        return end if end - self.start > MIN_SPEECH else None
