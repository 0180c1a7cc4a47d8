"""Recordings through libsndfile, in blocks.

Nothing ever seeks: libsndfile hangs when it seeks in a FLAC that is cut off. And nothing is
allocated from what a header claims.
"""

import io
import os
import re
from collections.abc import Iterator

import numpy as np
import soundfile

from batch_ser.audio.completeness import is_complete
from batch_ser.audio.raw import ENCODINGS, RawSettings
from batch_ser.audio.samples import BLOCK_VALUES, Samples
from batch_ser.errors import FileError, Reason

MIN_GUESSED_SHARE = 0.9  # of a guessed length; a file with less is cut
UNKNOWN_LENGTHS = (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x80000000)  # written by streaming encoders
BAD_RATE = 24  # libsndfile's error number of a header with a rate of 0
BAD_CHANNELS = (32, 33, 34)
UNSUPPORTED = (1, 4, 18)  # formats and encodings that it does not know
CORRECTED = r"^ *(?:data|SSND|riff|Data Size) *: (\d+) \(should be (\d+)\)"  # in its log
CORRECTED_RF64 = r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)"
MAX_FRAMES_PER_BYTE = {  # block codecs go on behind a file's end, to the length in the header
    "GSM610": 320 / 65,
    "IMA_ADPCM": 2,
    "MS_ADPCM": 2,
    "G721_32": 2,
    "G723_24": 8 / 3,
    "G723_40": 8 / 5,
}
CUTS_NOT_REPORTED = ("VOC", "NIST")  # formats that libsndfile reads to a cut without a message
MAX_CODEC_BLOCK = 2_048  # frames: a last block that is cut counts as whole
UNREAD = r"Length : (\d+).*Unknown chunk marker \(\w+\) at position (\d+)"


class _ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that never seeks (soundfile seeks after each read otherwise)."""

    def seekable(self) -> bool:
        return False


class SndFile:
    """One stream of samples that libsndfile decodes."""

    damaged = False
    first_track = False

    def __init__(self, source: str | io.RawIOBase, raw: RawSettings | None = None) -> None:
        """Open a path, or bytes that can be read and sought.

        Raises:
            FileError: `bad_rate`, `bad_channels`, `unsupported`, or else `corrupt`.
        """
        # a descriptor, which has no name: soundfile and libsndfile guess by suffixes otherwise.
        # libsndfile closes it, also when it refuses the file
        handle = os.open(source, os.O_RDONLY) if isinstance(source, str) else source
        try:
            self._file = _ForwardOnly(handle, **(_headerless(raw) if raw else {}))
        except soundfile.LibsndfileError as error:
            raise _translated(error) from error
        self.rate_hz: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.codec = f"{self._file.format}/{self._file.subtype}".lower()
        self.is_empty = int(self._file.frames) == 0  # by the header, which is wrong at times
        self.decoded_frames = 0
        self.stopped_by: str | None = None
        per_byte = MAX_FRAMES_PER_BYTE.get(self._file.subtype)
        bytes_ = os.path.getsize(source) if isinstance(source, str) else 0
        self._max_frames = 1 << 62
        if per_byte and bytes_:
            self._max_frames = round(bytes_ * per_byte / self.channels) + MAX_CODEC_BLOCK
        self._stated_frames = 0
        self._path = source if isinstance(source, str) else ""
        check = self._file.format in CUTS_NOT_REPORTED and isinstance(source, str)
        self._is_complete = not check or is_complete(str(source))

    def close(self) -> None:
        self._file.close()

    def blocks(self) -> Iterator[tuple[int, Samples]]:
        """Yield the rate and the next samples (frames, channels)."""
        size = max(1, BLOCK_VALUES // self.channels)
        while self.stopped_by is None and not self.is_empty:
            block = self._read(size)
            if self.decoded_frames + len(block) > self._max_frames:
                self.stopped_by = "the header states more than the file can hold"
                block = block[: self._max_frames - self.decoded_frames]
            if not len(block):
                break
            self.decoded_frames += len(block)
            yield self.rate_hz, block
        self._stated_frames = 0 if self.is_empty else _stated_frames(self._file)

    def _read(self, size: int) -> Samples:
        """The next frames; at damage those before it, which soundfile does not count."""
        block = np.full((size, self.channels), np.nan, np.float32)
        try:
            read: Samples = self._file.read(out=block)
        except soundfile.LibsndfileError as error:
            self.stopped_by = error.error_string.strip()
            written = np.flatnonzero(~np.isnan(block).all(axis=1))
            read = block[: written[-1] + 1 if len(written) else 0]
        return read

    @property
    def truncated(self) -> bool:
        """Whether the pass ended before the length in the header."""
        short = self.decoded_frames < self._stated_frames
        return self.stopped_by is not None or short or not self._is_complete


def _headerless(raw: RawSettings) -> dict[str, object]:
    assert raw.encoding
    return {
        "format": "RAW",
        "subtype": ENCODINGS[raw.encoding],
        "samplerate": raw.rate_hz,
        "channels": raw.channels,
        "endian": "LITTLE",
    }


def _translated(error: soundfile.LibsndfileError) -> FileError:
    message = error.error_string.strip().rstrip(".")
    if error.code == BAD_RATE:
        return FileError(Reason.BAD_RATE, "the header states 0 or less samples a second")
    if error.code in BAD_CHANNELS:
        return FileError(Reason.BAD_CHANNELS, f"the header is wrong: {message}")
    if message.startswith("File does not exist"):  # libsndfile's message for a few bytes of MP3
        return FileError(Reason.CORRUPT, "it is too short or damaged")
    return FileError(Reason.UNSUPPORTED if error.code in UNSUPPORTED else Reason.CORRUPT, message)


def _stated_frames(file: soundfile.SoundFile) -> int:
    """The length in the header, in frames; 0 when there is none.

    libsndfile corrects the length of a PCM file to what is there, which only its log shows.
    """
    corrected = re.search(CORRECTED, file.extra_info, re.MULTILINE)
    if corrected:
        stated, present = int(corrected[1]), int(corrected[2])
        if stated in UNKNOWN_LENGTHS or not present:
            return 0
        return int(file.frames * stated / present)
    corrected = re.search(CORRECTED_RF64, file.extra_info)
    if corrected:
        return int(corrected[2])
    left = re.search(UNREAD, file.extra_info, re.DOTALL)
    if left and int(left[2]):
        size, read = int(left[1]), int(left[2])
        unread = (size - read) * file.frames // read
        return int(file.frames + unread * (unread > file.samplerate))  # less than 1 s: old tags
    if file.subtype.startswith("MPEG") and file.format != "MP3":  # guessed from the bit rate
        return int(file.frames * MIN_GUESSED_SHARE)
    return int(file.frames) if file.frames < 2**62 else 0
