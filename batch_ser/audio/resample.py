"""Samples from one rate to another, as a stream."""

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from batch_ser.audio.samples import Samples


class Resampler:
    """Streaming soxr (HQ) for one channel; samples pass unchanged when the rates are equal."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = (
            None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
        )

    def __call__(self, samples: Samples, last: bool = False) -> Samples:
        """Samples (n,) at the old rate to (m,) at the new; `last` flushes the filter."""
        if self._stream is None:
            return samples
        out: Samples = self._stream.resample_chunk(samples, last=last)
        return out


def at_one_rate(blocks: Iterable[tuple[int, Samples]], rate_hz: int) -> Iterator[Samples]:
    """Blocks (frames, channels), each with its rate, to blocks of one rate.

    The rate of a stream may change in its middle. What has that rate already passes unchanged.
    """
    stream: list[Resampler] = []  # one for each channel, between two changes of the rate
    before = rate_hz
    for from_hz, block in blocks:
        if from_hz != before and stream:
            yield _resampled(stream, block[:0], last=True)
        if from_hz != before:
            before = from_hz
            stream = [Resampler(from_hz, rate_hz) for _ in block.T] if from_hz != rate_hz else []
        yield _resampled(stream, block) if stream else block
    if stream:
        yield _resampled(stream, np.zeros((0, len(stream)), np.float32), last=True)


def _resampled(stream: list[Resampler], block: Samples, last: bool = False) -> Samples:
    columns = zip(stream, block.T, strict=True)
    return np.stack([each(np.ascontiguousarray(x), last=last) for each, x in columns], axis=1)
