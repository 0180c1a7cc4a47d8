"""Crosstalk: the voice of one channel that leaks into another, later and softer.

A part of a region of speech is crosstalk if its envelope follows that of another channel, at a
lower level and up to 300 ms later, throughout. So one in which somebody speaks at the same time is
none.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from batch_ser.audio import Samples

Floats = NDArray[np.float64]
FRAMES_PER_S = 100
MAX_LAG = 31  # frames: 300 ms, and one for the place of the frames
NOISE_FRAMES = 10 * FRAMES_PER_S  # before a region, in which the noise of its channel is looked for
NOISE_PERCENTILE = 10.0
FLOOR = 1e-9  # power of a frame, at least: -90 dB of full scale

# Chosen by `benchmarks/crosstalk.py` on one corpus, which measures them on others
MIN_CORRELATION = 0.7  # of levels in dB
MAX_GAIN = 0.25  # of power: 6 dB softer
MAX_OWN = 0.1  # share of frames that are louder than the other channel explains,
OWN_DB = 6.0  # by more than this


class Envelopes:
    """The power of all channels in frames of 10 ms, of the last sound that may be needed."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._pending: Samples | None = None
        self._powers: Floats = np.zeros((0, 0))  # (frames, channels)
        self._first = 0  # the number of the first one
        self._samples = 0  # before the pending ones

    def append(self, block: Samples | None) -> None:
        """Add the next samples (n, channels); None after the last, for the frame that is begun."""
        if block is None:
            if self._pending is not None and len(self._pending):
                self._add(self._pending, np.zeros(1, np.int64))
            return
        waiting = block if self._pending is None else np.concatenate([self._pending, block])
        first = self._first + len(self._powers)
        last = self._frame(self._samples + len(waiting))
        edges = self._sample(np.arange(first, last + 1)) - self._samples
        if last > first:
            self._add(waiting[: edges[-1]], edges[:-1])
            self._samples += int(edges[-1])
            waiting = waiting[edges[-1] :]
        self._pending = waiting.copy()

    def _add(self, samples: Samples, starts: NDArray[np.int64]) -> None:
        """Frames of samples that begin at `starts`: their power without what is constant."""
        lengths = np.diff([*starts, len(samples)])[:, None]
        wide = samples.astype(np.float64)
        means = np.add.reduceat(wide, starts) / lengths
        powers = np.add.reduceat(np.square(wide), starts) / lengths - np.square(means)
        before = self._powers if len(self._powers) else np.zeros((0, samples.shape[1]))
        self._powers = np.concatenate([before, np.maximum(powers, 0.0) + FLOOR])

    def _sample(self, frames: NDArray[np.int64]) -> NDArray[np.int64]:
        """The first sample of frames, at any rate."""
        return -(-frames * self._rate_hz // FRAMES_PER_S)

    def _frame(self, sample: int) -> int:
        """The frame that a sample is in."""
        return sample * FRAMES_PER_S // self._rate_hz

    @property
    def powers(self) -> Floats:
        """Of the frames that are kept, (frames, channels)."""
        return self._powers

    def drop(self, before: int) -> None:
        """Drop what no region needs that begins at this sample or later."""
        first = self._frame(before) - NOISE_FRAMES
        gone = max(0, min(first - self._first, len(self._powers)))
        self._powers = self._powers[gone:]
        self._first += gone

    def is_crosstalk(self, number: int, start: int, end: int, others: Iterable[int]) -> bool:
        """Whether a region [start, end) of a channel, in samples, comes from one of the others."""
        first, last = self._frame(start) - self._first, -(-end * FRAMES_PER_S // self._rate_hz)
        last -= self._first
        own = self._powers[max(first, 0) : last, number]
        noise = self._powers[max(first - NOISE_FRAMES, 0) : last, number]
        if len(own) < 2:
            return False
        floor = float(np.percentile(noise, NOISE_PERCENTILE))
        return any(
            explains(self._delayed(each, max(first, 0), len(own)), own, floor) for each in others
        )

    def _delayed(self, number: int, first: int, length: int) -> Floats:
        """The powers (MAX_LAG + 1, length) of a channel by each delay; silence before the first."""
        begin = first - MAX_LAG
        powers = self._powers[max(begin, 0) : first + length, number]
        powers = np.concatenate([np.full(max(-begin, 0), FLOOR), powers])
        delayed: Floats = np.lib.stride_tricks.sliding_window_view(powers, length)
        return delayed


def explains(others: Floats, own: Floats, floor: float) -> bool:
    """Whether powers `own` (n,) are one of `others` (lags, n), at a lower level, and noise."""
    gains = np.maximum(own.mean() - floor, FLOOR) / others.mean(axis=1)
    others, gains = others[softer := gains <= MAX_GAIN], gains[softer]
    if not len(gains):
        return False
    expected, found = 10 * np.log10(gains[:, None] * others + floor), 10 * np.log10(own)
    louder = (found - expected > OWN_DB).mean(axis=1)
    return bool(np.any((_correlations(expected, found) >= MIN_CORRELATION) & (louder <= MAX_OWN)))


def _correlations(rows: Floats, one: Floats) -> Floats:
    """The correlation of each row with one; 0 where either is constant."""
    rows, one = rows - rows.mean(axis=1, keepdims=True), one - one.mean()
    scale = np.sqrt(np.square(rows).sum(axis=1) * np.square(one).sum())
    found: Floats = np.divide(rows @ one, scale, out=np.zeros(len(rows)), where=scale > 0)
    return found
