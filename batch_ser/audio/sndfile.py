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

from batch_ser.audio.lengths import length_fits
from batch_ser.audio.raw import ENCODINGS, RawSettings
from batch_ser.audio.samples import BLOCK_VALUES, Samples
from batch_ser.errors import FileError, Reason

GUESSED_SHARE = 0.9  # of a guessed length, less than which is a cut file
UNKNOWN_LENGTHS = (0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x80000000)  # written by streaming encoders
BAD_RATE = 24  # libsndfile's error numbers: a header that is complete, but for a rate of 0
BAD_CHANNELS = (32, 33, 34)
UNSUPPORTED = (1, 4, 18)  # formats and encodings that it does not know
CORRECTED = r"^ *(?:data|SSND|riff|Data Size) *: (\d+) \(should be (\d+)\)"  # in its log
CORRECTED_RF64 = r"frame count (\d+) does not match value from 'ds64' chunk of (\d+)"
FRAMES_PER_BYTE = {  # at most: block codecs go on behind a file's end, as long as a header claims
    "GSM610": 320 / 65,
    "IMA_ADPCM": 2,
    "MS_ADPCM": 2,
    "G721_32": 2,
    "G723_24": 8 / 3,
    "G723_40": 8 / 5,
}
MUTE = ("VOC", "NIST")  # formats of which libsndfile does not say that they are cut
LONGEST_BLOCK = 2_048  # frames: a last block that is cut counts as whole
UNREAD = r"Length : (\d+).*Unknown chunk marker \(\w+\) at position (\d+)"


class _ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]
    """A sound file that is never asked to seek (soundfile seeks after each read otherwise)."""

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
        # a descriptor has no name: soundfile and libsndfile guess by endings otherwise. libsndfile
        # closes it, also when it refuses the file
        handle = os.open(source, os.O_RDONLY) if isinstance(source, str) else source
        try:
            self._file = _ForwardOnly(handle, **(_headerless(raw) if raw else {}))
        except soundfile.LibsndfileError as error:
            raise _translated(error) from error
        self.rate_hz: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.codec = f"{self._file.format}/{self._file.subtype}".lower()
        self.is_empty = int(self._file.frames) == 0  # it says so, and is wrong at times
        self.decoded_frames = 0
        self.stopped_by: str | None = None
        per_byte = FRAMES_PER_BYTE.get(self._file.subtype)
        bytes_ = os.path.getsize(source) if isinstance(source, str) else 0
        self._most_frames = 1 << 62
        if per_byte and bytes_:
            self._most_frames = round(bytes_ * per_byte / self.channels) + LONGEST_BLOCK
        self._claimed_frames = 0
        self._path = source if isinstance(source, str) else ""
        mute = self._file.format in MUTE and isinstance(source, str)
        self._fits = not mute or length_fits(str(source))

    def close(self) -> None:
        self._file.close()

    def blocks(self) -> Iterator[tuple[int, Samples]]:
        """Yield the rate and the next samples (frames, channels)."""
        size = max(1, BLOCK_VALUES // self.channels)
        while self.stopped_by is None and not self.is_empty:
            block = self._read(size)
            if self.decoded_frames + len(block) > self._most_frames:
                self.stopped_by = "the header claims more than the file can hold"
                block = block[: self._most_frames - self.decoded_frames]
            if not len(block):
                break
            self.decoded_frames += len(block)
            yield self.rate_hz, block
        self._claimed_frames = 0 if self.is_empty else _claimed_frames(self._file)

    def _read(self, size: int) -> Samples:
        """The next frames; at damage those before it, which soundfile does not count for us."""
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
        """Whether the pass ended before what the header promised."""
        short = self.decoded_frames < self._claimed_frames
        return self.stopped_by is not None or short or not self._fits


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
    says = error.error_string.strip().rstrip(".")
    if error.code == BAD_RATE:
        return FileError(Reason.BAD_RATE, "the header says 0 or less samples a second")
    if error.code in BAD_CHANNELS:
        return FileError(Reason.BAD_CHANNELS, f"the header is wrong: {says}")
    if says.startswith("File does not exist"):  # what libsndfile says of a few bytes of MP3
        return FileError(Reason.CORRUPT, "it is too short or damaged")
    return FileError(Reason.UNSUPPORTED if error.code in UNSUPPORTED else Reason.CORRUPT, says)


def _claimed_frames(file: soundfile.SoundFile) -> int:
    """Frames that the header promises; 0 when it does not know.

    libsndfile corrects the length of a PCM file to what is there and only says so in its log.
    """
    corrected = re.search(CORRECTED, file.extra_info, re.MULTILINE)
    if corrected:
        promised, present = int(corrected[1]), int(corrected[2])
        if promised in UNKNOWN_LENGTHS or not present:
            return 0
        return int(file.frames * promised / present)
    corrected = re.search(CORRECTED_RF64, file.extra_info)
    if corrected:
        return int(corrected[2])
    left = re.search(UNREAD, file.extra_info, re.DOTALL)
    if left and int(left[2]):
        size, read = int(left[1]), int(left[2])
        unread = (size - read) * file.frames // read
        return int(file.frames + unread * (unread > file.samplerate))  # less than 1 s: old tags
    if file.subtype.startswith("MPEG") and file.format != "MP3":  # guessed from the bit rate
        return int(file.frames * GUESSED_SHARE)
    return int(file.frames) if file.frames < 2**62 else 0
