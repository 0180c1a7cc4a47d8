"""A recording as a stream of float32 blocks.

Everything flows in blocks, so memory does not depend on a recording's length, and nothing is
allocated from what a header claims. Nothing ever seeks: libsndfile hangs when it seeks in a FLAC
that is cut off.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from batch_ser.channels import MIXED, channel
from batch_ser.errors import FileError, Reason
from batch_ser.resample import Resampler
from batch_ser.samples import Samples

BLOCK_VALUES = 1 << 18  # values per block over all channels: 1 MB, 16 s of 16 kHz mono
MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 384_000
MAX_VALUE = 32_768.0  # float files scaled like 16-bit integers pass; 1e30 would overflow the STFT
GUESSED_SHARE = 0.9  # of a guessed length, less than which is a cut file
UNKNOWN_LENGTHS = (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x80000000)  # written by streaming encoders


class _ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is never asked to seek (soundfile seeks after each read otherwise)."""

    def seekable(self) -> bool:
        return False


class Recording:
    """One audio file, open for a single pass over its samples.

    After the pass, `decoded_frames` counts what was read and `truncated` tells whether the
    header promised more.
    """

    def __init__(self, path: str) -> None:
        """Open a file.

        Raises:
            FileError: missing, forbidden, empty, no known format, or a rate outside 4 to 384 kHz.
        """
        self.path = path
        self._file = _open(path)
        self.rate_hz: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.codec = f"{self._file.format}/{self._file.subtype}".lower()
        self.decoded_frames = 0
        self._stopped_by: soundfile.LibsndfileError | None = None
        if not MIN_RATE_HZ <= self.rate_hz <= MAX_RATE_HZ:
            self._file.close()
            raise FileError(
                Reason.BAD_RATE,
                f"the header says {self.rate_hz} samples a second, expected "
                f"{MIN_RATE_HZ} to {MAX_RATE_HZ}",
            )

    def blocks(self) -> Iterator[Samples]:
        """Yield blocks of samples (frames, channels), finite, and close the file after the last.

        Raises:
            FileError: `no_audio` if not one sample could be decoded.
        """
        size = max(1, BLOCK_VALUES // self.channels)
        with self._file:
            while True:
                block = self._read(size)
                if len(block):
                    self.decoded_frames += len(block)
                    yield _finite(block)
                if not len(block) or self._stopped_by:
                    break
            self._claimed_frames = _claimed_frames(self._file)
        if not self.decoded_frames:
            cause = f": {self._stopped_by.error_string}" if self._stopped_by else ""
            raise FileError(Reason.NO_AUDIO, f"no sample could be decoded ({self.codec}{cause})")

    def _read(self, size: int) -> Samples:
        """The next frames; at damage those before it, which soundfile does not count for us."""
        block = np.full((size, self.channels), np.nan, np.float32)
        try:
            read: Samples = self._file.read(out=block)
        except soundfile.LibsndfileError as error:
            self._stopped_by = error
            written = np.flatnonzero(~np.isnan(block).all(axis=1))
            read = block[: written[-1] + 1 if len(written) else 0]
        return read

    @property
    def truncated(self) -> bool:
        """Whether the pass ended before what the header promised."""
        return self._stopped_by is not None or self.decoded_frames < self._claimed_frames


def _open(path: str) -> soundfile.SoundFile:
    try:
        with open(path, "rb") as raw:
            head = raw.read(64)
    except FileNotFoundError as error:
        raise FileError(Reason.NOT_FOUND, "there is no such file") from error
    except PermissionError as error:
        raise FileError(Reason.FORBIDDEN, "the file may not be read: permission denied") from error
    except IsADirectoryError as error:
        raise FileError(Reason.NOT_A_FILE, "a folder, expected a file") from error
    except OSError as error:
        raise FileError(
            Reason.FETCH_FAILED, f"the file cannot be read: {error.strerror}"
        ) from error
    if not head:
        raise FileError(Reason.NO_AUDIO, "the file is empty (0 bytes)")
    try:
        return _ForwardOnly(path)
    except soundfile.LibsndfileError as error:
        raise _not_opened(path, head, error) from error


def _not_opened(path: str, head: bytes, error: soundfile.LibsndfileError) -> FileError:
    """Tell a damaged recording from something that is none."""
    says = error.error_string.rstrip(".")
    if head.startswith((b"RIFF", b"fLaC", b"OggS", b"FORM", b"RF64", b".snd", b"ID3", b"caff")):
        return FileError(Reason.CORRUPT, f"the audio header is damaged: {says}")
    kind = "text" if head.isascii() and b"\0" not in head else "data of no known audio format"
    name = Path(path).name
    return FileError(
        Reason.UNSUPPORTED,
        f"{name} holds {kind}, expected WAV, FLAC, Ogg, Opus, MP3, AIFF, AU or CAF ({says})",
    )


def _claimed_frames(file: soundfile.SoundFile) -> int:
    """Frames that the header promises; 0 when it does not know.

    libsndfile corrects the length of a WAV to what is there and only says so in its log.
    """
    corrected = re.search(r"^ *data *: (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if corrected:
        promised, present = int(corrected[1]), int(corrected[2])
        if promised in UNKNOWN_LENGTHS or not present:
            return 0
        return int(file.frames * promised / present)
    if file.format == "MP3":  # without a Xing header libsndfile guesses from the bit rate
        return int(file.frames * GUESSED_SHARE)
    return int(file.frames) if file.frames < 2**62 else 0


def _finite(block: Samples) -> Samples:
    """Replace NaN and infinity by silence and bound the rest, so that every score is finite."""
    np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
    return np.clip(block, -MAX_VALUE, MAX_VALUE, out=block)


def load(path: str, rate_hz: int) -> Samples:
    """A whole short recording, mixed to mono, at a rate: for training and for `predict`.

    It goes through the same steps as in a job, so that a score is the same number in both.

    Raises:
        FileError: it cannot be decoded.
    """
    recording = Recording(path)
    resample = Resampler(recording.rate_hz, rate_hz)
    parts = [resample(channel(block, MIXED)) for block in recording.blocks()]
    parts.append(resample(np.zeros(0, np.float32), last=True))
    return np.concatenate(parts)
