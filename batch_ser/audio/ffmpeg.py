"""Recordings through FFmpeg (PyAV), for what libsndfile cannot open: AAC, AMR, WMA, WebM, films.

Packets are decoded one by one. Encoder delay is trimmed where the file records it.
"""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from batch_ser.audio.completeness import is_complete
from batch_ser.audio.ffmpeg_container import audio_stream, codec_name, open_container, stated_s
from batch_ser.audio.ogg_pages import PageSummary
from batch_ser.audio.samples import BLOCK_VALUES, Samples
from batch_ser.audio.timestamps import Timestamps
from batch_ser.errors import FileError, Reason

TOLERANCE_S = 0.3  # by which a stated length may be wrong, besides 1 %
MAX_GAP_S = 10.0  # of a packet that cannot be decoded
SAFE_PLANES = 8  # PyAV 18.1 looks for a null behind the last plane: with so many there is none
SKIP_MANUAL = 1 << 29  # AV_CODEC_FLAG2_SKIP_MANUAL


class FFmpegFile:
    """The first audio stream of a file.

    A packet that cannot be decoded becomes silence, and so does a pause between time stamps.
    """

    is_empty = False

    def __init__(
        self, path: str, pages: PageSummary | None = None, *, check_checksums: bool = False
    ) -> None:
        """Open a file; `pages` are those of an Ogg file of which some are damaged.

        `check_checksums`: a packet with a wrong checksum is one that cannot be decoded.

        Raises:
            FileError: `unsupported`, `corrupt`, or `no_audio` when there are pictures alone.
        """
        self._path, self._pages = path, pages
        self._container = open_container(path)
        try:
            self._stream = audio_stream(self._container)
            if check_checksums:
                self._stream.codec_context.options = {"err_detect": "crccheck+explode"}
            self.first_track = len(self._container.streams.audio) > 1
            self._begin()
        except BaseException:
            self._container.close()
            raise

    def _begin(self) -> None:
        """Decode the first frame, whose rate and channels are right where a header's are not.

        HE-AAC is such a case.
        """
        self.codec = codec_name(self._container, self._stream)
        if self.codec == "caf/alac":  # FFmpeg trims its last packet twice
            self._stream.codec_context.flags2 |= SKIP_MANUAL
        self.damaged = self._pages is not None
        self.stopped_by: str | None = None
        self._decoded_s = 0.0
        self._stated_s = stated_s(self._container, self._stream)
        self._failed = 0  # packets since the last one that could be decoded
        self._gap_s = 0.0  # and their length
        self._timestamps = Timestamps(self._container, self._stream, self._pages)
        frames = self._frames()
        first = list(islice(frames, 1))
        self._all_frames = chain(first, frames)
        if first:
            self.rate_hz, self.channels = first[0][0], first[0][1].shape[1]
        elif self._stream.rate and self._stream.channels:
            self.rate_hz, self.channels = self._stream.rate, self._stream.channels
        else:
            raise FileError(Reason.CORRUPT, "not one frame of it can be decoded")

    def close(self) -> None:
        self._container.close()

    def blocks(self) -> Iterator[tuple[int, Samples]]:
        """Yield the rate and the next samples (frames, channels)."""
        pending: list[Samples] = []
        rate_hz = values = 0
        for next_hz, samples in self._all_frames:
            changes = pending and (next_hz != rate_hz or samples.shape[1] != pending[0].shape[1])
            if changes or values >= BLOCK_VALUES:
                yield rate_hz, np.concatenate(pending)
                pending, values = [], 0
            pending.append(samples)
            rate_hz, values = next_hz, values + samples.size
        if pending:
            yield rate_hz, np.concatenate(pending)

    def _frames(self) -> Iterator[tuple[int, Samples]]:
        for packet in self._packets():
            for frame in self._decoded(packet):
                samples = _samples(frame)
                yield from self._silence(frame, samples.shape[1])
                self._decoded_s += len(samples) / frame.sample_rate
                yield frame.sample_rate, samples
        if self._failed:
            self.stopped_by = self.stopped_by or f"{self._failed} packets cannot be decoded"
            self.damaged |= not self._decoded_s

    def _silence(self, frame: AudioFrame, channels: int) -> Iterator[tuple[int, Samples]]:
        """The silence before a frame: packets that could not be decoded, and pauses."""
        length_s = self._gap_s if self._decoded_s else 0.0
        length_s += self._timestamps.pause_s(frame.time, self._decoded_s + length_s)
        self.damaged |= self._failed > 0 or self._timestamps.rejected
        self._failed, self._gap_s = 0, 0.0
        remaining = round(length_s * frame.sample_rate)
        self._decoded_s += remaining / frame.sample_rate
        while remaining:
            size = min(remaining, max(1, BLOCK_VALUES // channels))
            yield frame.sample_rate, np.zeros((size, channels), np.float32)
            remaining -= size

    def _packets(self) -> Iterator["Packet[AudioStream]"]:
        while True:
            try:
                yield from self._container.demux(self._stream)
            except IndexError:  # a packet of another stream, which begins only here
                continue
            except av.FFmpegError as error:
                self.stopped_by = error.strerror
            return

    def _decoded(self, packet: "Packet[AudioStream]") -> list[AudioFrame]:
        try:
            return [frame for frame in packet.decode() if frame.sample_rate and frame.samples]
        except av.EOFError:
            return []
        except av.FFmpegError:
            self._failed += 1
            length_s = float((packet.duration or 0) * (packet.time_base or 0))
            self._gap_s += min(max(length_s, 0.0), MAX_GAP_S)
            return []

    @property
    def truncated(self) -> bool:
        """Whether the pass ended before the length in the header."""
        short = self._decoded_s < 0.99 * self._stated_s - TOLERANCE_S
        short |= self._decoded_s < self._timestamps.last_s - TOLERANCE_S
        return self.stopped_by is not None or short or not is_complete(self._path)


def _samples(frame: AudioFrame) -> Samples:
    """A frame's samples as float32 (frames, channels), full scale at 1."""
    if frame.format.is_planar and frame.layout.nb_channels >= SAFE_PLANES:
        packed = av.AudioResampler("flt", frame.layout, frame.sample_rate)
        frame = packed.resample(frame)[0]
    planes: NDArray[Any] = frame.to_ndarray()
    values = planes.T if frame.format.is_planar else planes.reshape(frame.samples, -1)
    with np.errstate(over="ignore"):  # of doubles beyond float32, which become infinite
        samples: Samples = values.astype(np.float32)
    if values.dtype == np.uint8:
        samples = (samples - np.float32(128)) / np.float32(128)
    elif values.dtype.kind == "i":
        samples /= 2.0 ** (8 * values.dtype.itemsize - 1)
    return samples
