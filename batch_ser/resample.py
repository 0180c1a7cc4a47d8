"""Samples of one channel from one rate to another, as a stream."""

import soxr

from batch_ser.samples import Samples


class Resampler:
    """Streaming soxr (HQ) for one channel; hands samples through when the rates are equal."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._stream = (
            None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")
        )

    def __call__(self, samples: Samples, last: bool = False) -> Samples:
        """Samples (n,) at the old rate to (m,) at the new; `last` flushes what is held back."""
        if self._stream is None:
            return samples
        out: Samples = self._stream.resample_chunk(samples, last=last)
        return out
