"""What the page shows of a recording beside its scores: its wave form, and its sound as MP3."""

import base64
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from batch_ser.audio import MIXED, Reading, Recording, Resampler, Samples, channel
from batch_ser.report import encode

RATE_HZ = 16_000  # of `batch_ser.report.encode`
POINTS = 600  # of a wave form
MOST_S = 600.0  # of sound: 1.8 MB


class Preview(NamedTuple):
    """A preview, checked: it comes from a process that decodes uploads."""

    duration_s: float
    peaks: list[float]  # 0 to 1, over equal parts of the recording
    mp3: str  # Base64; of the first minutes


def make_preview(path: str, reading: Reading) -> dict[str, Any]:
    """The preview of a recording that can be decoded, as JSON."""
    recording = Recording(path, reading)
    resample = Resampler(recording.rate_hz, RATE_HZ)
    parts, peaks, length = [], [np.zeros(0, np.float32)], 0
    part_length = RATE_HZ // 100
    for block in recording.blocks():
        samples = resample(channel(block, MIXED))
        peaks.append(_peaks(samples, max(1, len(samples) // part_length)))
        if length < MOST_S * RATE_HZ:
            parts.append(samples)
        length += len(samples)
    sound = np.concatenate(parts)[: round(MOST_S * RATE_HZ)]
    highest = np.concatenate(peaks)
    return {
        "duration_s": recording.decoded_frames / recording.rate_hz,
        "peaks": [round(float(each), 3) for each in _peaks(highest, POINTS)],
        "mp3": base64.b64encode(encode(sound)).decode(),
    }


def _peaks(samples: Samples, count: int) -> Samples:
    """The highest absolute values of equal parts, at most 1 each."""
    if not len(samples):
        return samples
    starts = np.unique(np.linspace(0, len(samples), count, endpoint=False).astype(np.int64))
    return np.minimum(np.maximum.reduceat(np.abs(samples), starts), 1.0)


def checked(preview: object) -> Preview:
    """A preview as it came from another process.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(preview, Mapping):
        raise ValueError("no preview")
    mp3 = base64.b64decode(str(preview["mp3"]), validate=True)
    peaks = [float(each) for each in preview["peaks"]][:POINTS]
    return Preview(float(preview["duration_s"]), peaks, base64.b64encode(mp3).decode())
