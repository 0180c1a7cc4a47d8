"""Headerless telephone recordings: how they are read, by their names and the options."""

import os
from dataclasses import asdict, dataclass, replace
from typing import Any

from batch_ser.audio.samples import MAX_CHANNELS, MAX_RATE_HZ, MIN_RATE_HZ
from batch_ser.errors import UsageError

ENCODINGS = {"ulaw": "ULAW", "alaw": "ALAW", "pcm16": "PCM_16", "gsm": "GSM610"}
NAMED_ENDINGS = {  # endings that name an encoding
    ".ulaw": "ulaw",
    ".ul": "ulaw",
    ".alaw": "alaw",
    ".al": "alaw",
    ".gsm": "gsm",
    ".sln": "pcm16",
}
SLN_RATES_HZ = {f".sln{khz}": khz * 1000 for khz in (12, 16, 24, 32, 44, 48, 96, 192)}
SLN_RATES_HZ[".sln44"] = 44_100
OPEN_ENDINGS = (".raw", ".pcm")  # these do not
RAW_ENDINGS = frozenset([*NAMED_ENDINGS, *SLN_RATES_HZ, *OPEN_ENDINGS])
SYNC_ENDINGS = frozenset([".mp3", ".mp2", ".mpga", ".aac", ".ac3", ".eac3", ".ts"])


@dataclass(frozen=True)
class RawSettings:
    """How files without a header are read.

    `encoding` is for files whose content no decoder knows and whose ending does not name an
    encoding; without it, `.raw` and `.pcm` are `pcm16` (16 bits, little-endian). Rate and
    channels are for all headerless files; `.sln16` and its like name their own rate, and GSM
    has one channel.
    """

    encoding: str | None = None
    rate_hz: int = 8_000
    channels: int = 1

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            UsageError: an unknown encoding, or a rate or a number of channels out of bounds.
        """
        if self.encoding is not None and self.encoding not in ENCODINGS:
            raise UsageError(f"--raw-encoding {self.encoding}: expected {', '.join(ENCODINGS)}")
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            raise UsageError(
                f"--raw-rate {self.rate_hz}: expected {MIN_RATE_HZ} to {MAX_RATE_HZ} (samples a "
                "second)"
            )
        if self.encoding == "gsm" and self.channels != 1:
            raise UsageError(f"--raw-channels {self.channels}: expected 1: GSM is mono")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise UsageError(f"--raw-channels {self.channels}: expected 1 to {MAX_CHANNELS}")

    def fingerprint(self) -> dict[str, Any]:
        """What a job's fingerprint holds of it: nothing where all is as by default."""
        return {} if self == RawSettings() else {"raw": asdict(self)}

    def for_file(self, path: str, *, has_header: bool) -> "RawSettings | None":
        """How this file is read; None if it has a header, or no encoding is known."""
        ending = os.path.splitext(path)[1].lower()
        named = NAMED_ENDINGS.get(ending) or ("pcm16" if ending in SLN_RATES_HZ else None)
        encoding = named or self.encoding or ("pcm16" if ending in OPEN_ENDINGS else None)
        if has_header or encoding is None:
            return None
        channels = 1 if encoding == "gsm" else self.channels
        rate_hz = SLN_RATES_HZ.get(ending, self.rate_hz)
        return replace(self, encoding=encoding, rate_hz=rate_hz, channels=channels)

    def frames_needed(self, path: str) -> int:
        """How many frames in a row prove that a file of this name is MP3, AAC or AC-3; 0: none do.

        Quiet telephone audio begins like one frame at times, and never like three.
        """
        ending = os.path.splitext(path)[1].lower()
        if ending in RAW_ENDINGS:
            return 0
        return 1 if ending in SYNC_ENDINGS or self.encoding is None else 3

    @staticmethod
    def names_encoding(path: str) -> bool:
        """Whether a file's ending names an encoding: letters do not make it text then."""
        ending = os.path.splitext(path)[1].lower()
        return ending in NAMED_ENDINGS or ending in SLN_RATES_HZ
