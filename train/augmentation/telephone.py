"""What telephones and small files do to speech: real codecs, by libsndfile.

Training uses them as augmentation, and the benchmarks measure what they cost.
"""

import io
from dataclasses import dataclass

import numpy as np
import soundfile
import soxr

from batch_ser.audio import Samples

TELEPHONE_RATE_HZ = 8_000
PEAK = 0.98  # codecs of whole numbers clip above 1


@dataclass(frozen=True)
class Codec:
    """How libsndfile names a codec; `level` from 0 to 1 sets the bits, `delay` is in samples."""

    container: str
    subtype: str
    level: float | None = None
    delay: int = 0


CODECS = {
    "ulaw": Codec("WAV", "ULAW"),  # G.711, 64 kbit/s
    "gsm": Codec("WAV", "GSM610"),  # 13 kbit/s
    "mp3": Codec("MP3", "MPEG_LAYER_III", 0.9, 1_105),  # 16 kbit/s; LAME states no delay here
    "opus": Codec("OGG", "OPUS", 0.98),  # 8 kbit/s
}


def telephoned(samples: Samples, rate_hz: int, codec: str) -> Samples:
    """Samples (n,) as they come out of a telephone line of 8 kHz with that codec, (n,) again."""
    if not len(samples):
        return samples
    chosen = CODECS[codec]
    narrow = soxr.resample(samples, rate_hz, TELEPHONE_RATE_HZ)
    loudest = max(float(np.abs(narrow).max(initial=0.0)) / PEAK, 1.0)
    file = io.BytesIO()
    soundfile.write(
        file,
        np.pad(narrow / np.float32(loudest), (0, chosen.delay)),
        TELEPHONE_RATE_HZ,
        format=chosen.container,
        subtype=chosen.subtype,
        compression_level=chosen.level,
        bitrate_mode="CONSTANT" if chosen.container == "MP3" else None,
    )
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    wide = soxr.resample(decoded[chosen.delay :] * np.float32(loudest), TELEPHONE_RATE_HZ, rate_hz)
    return np.pad(wide[: len(samples)], (0, max(0, len(samples) - len(wide))))
