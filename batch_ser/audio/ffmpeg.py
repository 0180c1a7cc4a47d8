"""Recordings through FFmpeg (PyAV), for what libsndfile cannot open: AAC, AMR, WMA, WebM, films.

Packets flow one by one. Encoder delay is trimmed where the file records it. Containers and codecs
are those listed here and no others: FFmpeg knows hundreds, among them playlists that open further
files and addresses. Pictures are never decoded.
"""

import os
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Discard
from numpy.typing import NDArray

from batch_ser.audio.lengths import length_fits
from batch_ser.audio.ogg_pages import Survey
from batch_ser.audio.samples import BLOCK_VALUES, Samples
from batch_ser.audio.timestamps import STAMPED, Stamps
from batch_ser.errors import FileError, Reason

CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,eac3,flac,flv,loas,matroska,mov,mp3,mpeg,"
    "mpegts,ogg,tta,voc,w64,wav,wv"
)
CODECS = (
    "aac,aac_latm,ac3,adpcm_g722,adpcm_ima_qt,adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_yamaha,alac,"
    "amrnb,amrwb,ape,eac3,flac,g722,g723_1,g726,g726le,g729,gsm,gsm_ms,mp1,mp1float,mp2,mp2float,"
    "mp3,mp3float,nellymoser,opus,pcm_alaw,pcm_dvd,pcm_f32be,pcm_f32le,pcm_f64be,pcm_f64le,"
    "pcm_mulaw,pcm_s16be,pcm_s16le,pcm_s24be,pcm_s24le,pcm_s32be,pcm_s32le,pcm_s8,pcm_u8,speex,"
    "truespeech,tta,vorbis,wavpack,wmalossless,wmapro,wmav1,wmav2,wmavoice"
)
SHORT_NAMES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "matroska", "asf": "wma"}
SAME_CODECS = {  # as libsndfile names them
    "mp3": "mpeg_layer_iii",
    "mp2": "mpeg_layer_ii",
    "mp1": "mpeg_layer_i",
    "pcm_s16le": "pcm_16",
    "pcm_s16be": "pcm_16",
    "pcm_s24le": "pcm_24",
    "pcm_s24be": "pcm_24",
    "pcm_s32le": "pcm_32",
    "pcm_s32be": "pcm_32",
    "pcm_f32le": "float",
    "pcm_f64le": "double",
    "pcm_mulaw": "ulaw",
    "pcm_alaw": "alaw",
    "adpcm_ima_wav": "ima_adpcm",
    "gsm_ms": "gsm610",
}
STATES_LENGTH = ("aiff", "ape", "asf", "avi", "caf", "mov", "matroska", "tta", "w64", "wav", "wv")
TOLERANCE_S = 0.3  # by which a stated length may be wrong, besides 1 %
MOST_CLAIMED_S = 1e8  # three years: a length that is not known
LONGEST_GAP_S = 10.0  # of a packet that cannot be decoded
SAFE_PLANES = 8  # PyAV 18.1 looks for a null behind the last plane: with so many there is none
SKIP_MANUAL = 1 << 29  # AV_CODEC_FLAG2_SKIP_MANUAL


class FFmpegFile:
    """The first audio stream of a file. A packet that cannot be decoded becomes silence.

    So does a pause in time stamps.
    """

    is_empty = False

    def __init__(self, path: str, pages: Survey | None = None, checked: bool = False) -> None:
        """Open a file; `pages` are those of an Ogg file of which some are damaged.

        `checked`: what has a wrong checksum counts as what cannot be decoded.

        Raises:
            FileError: `unsupported`, `corrupt`, or `no_audio` when there are pictures alone.
        """
        self._path, self._pages = path, pages
        self._container = _open(path)
        try:
            self._stream = _audio(self._container)
            if checked:
                self._stream.codec_context.options = {"err_detect": "crccheck+explode"}
            self.first_track = len(self._container.streams.audio) > 1
            self._begin()
        except BaseException:
            self._container.close()
            raise

    def _begin(self) -> None:
        """Decode the first frame: it knows rate and channels better than the header of HE-AAC."""
        context, name = self._stream.codec_context, self._container.format.name
        codec = context.codec.canonical_name
        self.codec = f"{SHORT_NAMES.get(name, name)}/{SAME_CODECS.get(codec, codec)}"
        if self.codec == "caf/alac":  # FFmpeg trims its last packet twice
            context.flags2 |= SKIP_MANUAL
        self.damaged = self._pages is not None
        self.stopped_by: str | None = None
        self._decoded_s = 0.0
        self._claimed_s = _claimed_s(self._container, self._stream)
        self._failed = 0  # packets since the last one that could be decoded
        self._gap_s = 0.0  # and their length
        self._stamps = Stamps(self._container, self._stream, self._pages)
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
        """Yield the rate of the next samples (frames, channels), and them."""
        held: list[Samples] = []
        rate_hz = values = 0
        for next_hz, samples in self._all_frames:
            other = held and (next_hz != rate_hz or samples.shape[1] != held[0].shape[1])
            if other or values >= BLOCK_VALUES:
                yield rate_hz, np.concatenate(held)
                held, values = [], 0
            held.append(samples)
            rate_hz, values = next_hz, values + samples.size
        if held:
            yield rate_hz, np.concatenate(held)

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
        """What stands before a frame: packets that could not be decoded, and pauses."""
        length_s = self._gap_s if self._decoded_s else 0.0
        length_s += self._stamps.pause_s(frame.time, self._decoded_s + length_s)
        self.damaged |= self._failed > 0 or self._stamps.refused
        self._failed, self._gap_s = 0, 0.0
        left = round(length_s * frame.sample_rate)
        self._decoded_s += left / frame.sample_rate
        while left:
            size = min(left, max(1, BLOCK_VALUES // channels))
            yield frame.sample_rate, np.zeros((size, channels), np.float32)
            left -= size

    def _packets(self) -> Iterator["Packet[AudioStream]"]:
        while True:
            try:
                yield from self._container.demux(self._stream)
            except IndexError:  # a packet of a stream that begins only here: none of ours
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
            self._gap_s += min(max(length_s, 0.0), LONGEST_GAP_S)
            return []

    @property
    def truncated(self) -> bool:
        """Whether the pass ended before what the header promised."""
        short = self._decoded_s < 0.99 * self._claimed_s - TOLERANCE_S
        short |= self._decoded_s < self._stamps.last_s - TOLERANCE_S
        return self.stopped_by is not None or short or not length_fits(self._path)


def _open(path: str) -> av.container.InputContainer:
    options = {
        "format_whitelist": CONTAINERS,
        "codec_whitelist": CODECS,
        "protocol_whitelist": "file",
    }
    try:
        return av.open(f"file:{os.path.abspath(path)}", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        says = getattr(error, "strerror", None) or str(error)
        raise FileError(Reason.CORRUPT, says) from error


def _audio(container: av.container.InputContainer) -> AudioStream:
    """The first audio stream; packets of all others are not even handed out."""
    audio = container.streams.audio
    if not audio:
        kinds = sorted({stream.type for stream in container.streams})
        there = f"it holds {' and '.join(kinds)} alone" if kinds else "it holds nothing"
        raise FileError(Reason.NO_AUDIO, f"there is no sound in this file: {there}")
    codecs = CODECS.split(",")
    known = [each for each in audio if each.codec_context and each.codec_context.name in codecs]
    if not known:
        raise FileError(Reason.UNSUPPORTED, "the encoding of its sound is not known")
    for stream in container.streams:
        if stream is not known[0]:
            stream.discard = Discard.all
    known[0].codec_context.thread_count = 1
    return known[0]


def _claimed_s(container: av.container.InputContainer, stream: AudioStream) -> float:
    """The length that a file states, in seconds; 0 when it states none."""
    claimed_s, name = 0.0, container.format.name
    if not name.startswith(STATES_LENGTH):
        return claimed_s  # guessed from the bit rate
    if stream.duration and stream.time_base:
        begin = (stream.start_time or 0) if name.startswith(STAMPED) else 0
        claimed_s = float((stream.duration + begin) * stream.time_base)
    elif len(container.streams) == 1:
        claimed_s = (container.duration or 0) / 1e6
    return claimed_s if claimed_s < MOST_CLAIMED_S else 0.0


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
