"""A recording as a stream of float32 blocks.

Everything flows in blocks, so memory does not depend on a recording's length.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from batch_ser.audio.channels import MIXED, channel
from batch_ser.audio.decoders import open_decoder
from batch_ser.audio.raw import RawSettings
from batch_ser.audio.resample import Resampler, at_one_rate
from batch_ser.audio.samples import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ, Samples
from batch_ser.errors import FileError, Reason, UsageError

MAX_VALUE = 32_768.0  # float files scaled like 16-bit integers pass; 1e30 would overflow the STFT


@dataclass(frozen=True)
class Reading:
    """How recordings are read: the options of the command line."""

    raw: RawSettings = field(default_factory=RawSettings)
    max_hours: float = 48.0

    def __post_init__(self) -> None:
        if not 0 < self.max_hours < math.inf:
            raise UsageError(f"--max-hours {self.max_hours:g}: expected more than 0")


class Recording:
    """One audio file, open for a single pass over its samples.

    After the pass, `decoded_frames` counts what was read, in frames of `rate_hz`, and `notes` may
    hold `truncated`, if there should have been more, and `damaged`, if silence replaces what could
    not be decoded or is not finite, and `first_track`, if there are others.
    """

    def __init__(self, path: str, reading: Reading | None = None) -> None:
        """Open a file.

        Raises:
            FileError: missing, forbidden, empty, no known format, a rate outside 4 to 384 kHz, or
                more channels than 128.
        """
        self.path = path
        self._reading = reading or Reading()
        self._decoder = open_decoder(path, self._reading.raw)
        self.rate_hz: int = self._decoder.rate_hz
        self.channels: int = self._decoder.channels
        self.codec = self._decoder.codec
        self.decoded_frames = 0
        self._left_out = False
        self._not_finite = False
        try:
            self._check()
        except FileError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file before a pass, or within one."""
        self._decoder.close()

    def _check(self) -> None:
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            raise FileError(
                Reason.BAD_RATE,
                f"the header states {self.rate_hz} samples a second, expected "
                f"{MIN_RATE_HZ} to {MAX_RATE_HZ}",
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise FileError(
                Reason.BAD_CHANNELS,
                f"the header states {self.channels} channels, expected 1 to {MAX_CHANNELS}",
            )

    def blocks(self) -> Iterator[Samples]:
        """Yield blocks of samples (frames, channels), finite, and close the file after the last.

        Raises:
            FileError: `no_audio` or `corrupt` if not one sample could be decoded; `too_long`.
        """
        with closing(self._decoder) as decoder:
            for block in at_one_rate(self._consistent(decoder.blocks()), self.rate_hz):
                if len(block):
                    self.decoded_frames += len(block)
                    self._check_length()
                    self._not_finite |= not np.isfinite(block).all()
                    yield _finite(block)
        if not self.decoded_frames:
            reason = Reason.CORRUPT if decoder.damaged else Reason.NO_AUDIO
            cause = f": {decoder.stopped_by}" if decoder.stopped_by else ""
            raise FileError(reason, f"no sample could be decoded ({self.codec}{cause})")

    def _consistent(self, blocks: Iterator[tuple[int, Samples]]) -> Iterator[tuple[int, Samples]]:
        """Blocks up to the first with another number of channels, or a rate out of bounds."""
        for rate_hz, block in blocks:
            if block.shape[1] != self.channels or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
                self._left_out = True
                return
            yield rate_hz, block

    def _check_length(self) -> None:
        hours = self._reading.max_hours
        if self.decoded_frames > hours * 3600 * self.rate_hz:
            raise FileError(
                Reason.TOO_LONG,
                f"the recording is longer than {hours:g} hours; --max-hours allows more",
                max_hours=hours,
            )

    @property
    def truncated(self) -> bool:
        """Whether the pass ended before the file's stated end, or left a part of it out."""
        return self._left_out or self._decoder.truncated

    @property
    def notes(self) -> list[str]:
        """The words of the `note` column."""
        notes = {
            "truncated": self.truncated,
            "damaged": self._decoder.damaged or self._not_finite,
            "first_track": self._decoder.first_track,
        }
        return [note for note, holds in notes.items() if holds]


def _finite(block: Samples) -> Samples:
    """Replace NaN and infinity by silence and bound the rest, so that every score is finite."""
    np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(block, -MAX_VALUE, MAX_VALUE, out=block)


def load(path: str, rate_hz: int, number: int = MIXED) -> Samples:
    """One channel of a whole short recording, or all of them mixed, at a rate: for training.

    It goes through the same steps as in a job, so that a score is the same number in both.

    Raises:
        FileError: it cannot be decoded.
    """
    recording = Recording(path)
    resample = Resampler(recording.rate_hz, rate_hz)
    parts = [resample(channel(block, number)) for block in recording.blocks()]
    parts.append(resample(np.zeros(0, np.float32), last=True))
    return np.concatenate(parts)
