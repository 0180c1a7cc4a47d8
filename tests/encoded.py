"""One clip through every encoding, made here by libsndfile's and FFmpeg's own encoders.

FFmpeg's wheel encodes AMR-NB, so no clip of it is shipped; AMR-WB and G.729 it only decodes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from batch_ser.audio.samples import Samples

CLIP_RATE_HZ = 16_000
Encoder = Callable[[Path, Samples, int], None]  # samples (frames, channels) and their rate


def sndfile(container: str, subtype: str, level: float | None = None) -> Encoder:
    def encode(path: Path, samples: Samples, rate_hz: int) -> None:
        soundfile.write(
            path,
            samples,
            rate_hz,
            format=container,
            subtype=subtype,
            compression_level=level,
            bitrate_mode="CONSTANT" if level and container == "MP3" else None,
        )

    return encode


def ffmpeg(
    codec: str, container: str | None = None, kbit_s: float | None = None, cover: bool = False
) -> Encoder:
    def encode(path: Path, samples: Samples, rate_hz: int) -> None:
        layout = {1: "mono", 2: "stereo", 8: "7.1"}[samples.shape[1]]
        with av.open(str(path), "w", format=container) as out:
            if cover:
                picture = out.add_stream("mpeg4", rate=1)
                picture.width = picture.height = 64
            stream = out.add_stream(codec, rate=rate_hz, layout=layout)
            stream.options = {"strict": "experimental"}
            if kbit_s:
                stream.bit_rate = round(kbit_s * 1000)
            stream.codec_context.open(strict=False)
            if cover:
                for packet in picture.encode(av.VideoFrame(64, 64, "yuv420p")):
                    out.mux(packet)
            frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1).copy(), "flt", layout)
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, 0, Fraction(1, rate_hz)
            sample_format = stream.codec_context.format.name
            fit = av.AudioResampler(
                sample_format, layout, rate_hz, stream.codec_context.frame_size or 1024
            )
            for each in [*fit.resample(frame), *fit.resample(None)]:
                out.mux(stream.encode(each))
            out.mux(stream.encode(None))

    return encode


@dataclass(frozen=True)
class Encoding:
    """How a clip is encoded; `share` is the correlation after decoding, or `EXACT`."""

    file: str
    encode: Encoder
    codec: str  # in the files table
    share: float
    rate_hz: int = CLIP_RATE_HZ
    lag: int = 0  # samples of delay that the file does not record
    channels: int = 1

    def write(self, folder: Path, clip: Samples) -> Path:
        path = folder / self.file
        self.encode(path, self.source(clip), self.rate_hz)
        return path

    def source(self, clip: Samples) -> Samples:
        """The clip (n,) at 16 kHz as this encoding gets it, (frames, channels)."""
        at_rate = clip
        if self.rate_hz != CLIP_RATE_HZ:
            at_rate = soxr.resample(clip, CLIP_RATE_HZ, self.rate_hz)
        return np.stack([at_rate, at_rate[::-1]][: self.channels], axis=1)


EXACT, GOOD, LOW = 1.0, 0.95, 0.8  # LOW: below 24 kbit/s
ENCODINGS = [
    # libsndfile
    Encoding("pcm16.wav", sndfile("WAV", "PCM_16"), "wav/pcm_16", EXACT),
    Encoding("pcm24.wav", sndfile("WAV", "PCM_24"), "wav/pcm_24", EXACT),
    Encoding("pcm32.wav", sndfile("WAV", "PCM_32"), "wav/pcm_32", EXACT),
    Encoding("float.wav", sndfile("WAV", "FLOAT"), "wav/float", EXACT),
    Encoding("double.wav", sndfile("WAV", "DOUBLE"), "wav/double", EXACT),
    Encoding("extensible.wav", sndfile("WAVEX", "PCM_16"), "wavex/pcm_16", EXACT, channels=2),
    Encoding("pcm8.wav", sndfile("WAV", "PCM_U8"), "wav/pcm_u8", GOOD),
    Encoding("ulaw.wav", sndfile("WAV", "ULAW"), "wav/ulaw", GOOD, 8_000, channels=2),
    Encoding("alaw.wav", sndfile("WAV", "ALAW"), "wav/alaw", GOOD, 8_000),
    Encoding("ima.wav", sndfile("WAV", "IMA_ADPCM"), "wav/ima_adpcm", GOOD, 8_000),
    Encoding("ms.wav", sndfile("WAV", "MS_ADPCM"), "wav/ms_adpcm", GOOD, 8_000),
    Encoding("gsm.wav", sndfile("WAV", "GSM610"), "wav/gsm610", LOW, 8_000),
    Encoding("g721.wav", sndfile("WAV", "G721_32"), "wav/g721_32", GOOD, 8_000),
    Encoding("pcm16.rf64", sndfile("RF64", "PCM_16"), "rf64/pcm_16", EXACT),
    Encoding("pcm16.w64", sndfile("W64", "PCM_16"), "w64/pcm_16", EXACT),
    Encoding("ms.w64", sndfile("W64", "MS_ADPCM"), "w64/ms_adpcm", GOOD),
    Encoding("pcm24.aiff", sndfile("AIFF", "PCM_24"), "aiff/pcm_24", EXACT),
    Encoding("gsm.aiff", sndfile("AIFF", "GSM610"), "aiff/gsm610", LOW, 8_000),
    Encoding("float.au", sndfile("AU", "FLOAT"), "au/float", EXACT),
    Encoding("ulaw.au", sndfile("AU", "ULAW"), "au/ulaw", GOOD, 8_000),
    Encoding("g721.au", sndfile("AU", "G721_32"), "au/g721_32", GOOD, 8_000),
    Encoding("pcm16.caf", sndfile("CAF", "PCM_16"), "caf/pcm_16", EXACT),
    Encoding("alac.caf", sndfile("CAF", "ALAC_16"), "caf/alac_16", EXACT),
    Encoding("pcm16.sph", sndfile("NIST", "PCM_16"), "nist/pcm_16", EXACT),
    Encoding("pcm16.voc", sndfile("VOC", "PCM_16"), "voc/pcm_16", EXACT, channels=2),
    Encoding("pcm16.flac", sndfile("FLAC", "PCM_16"), "flac/pcm_16", EXACT, channels=2),
    Encoding("pcm24.flac", sndfile("FLAC", "PCM_24"), "flac/pcm_24", EXACT, 44_100),
    Encoding("vorbis.ogg", sndfile("OGG", "VORBIS"), "ogg/vorbis", GOOD, 44_100, channels=2),
    Encoding("opus16.opus", sndfile("OGG", "OPUS"), "ogg/opus", GOOD),
    Encoding("opus8.opus", sndfile("OGG", "OPUS", 0.98), "ogg/opus", LOW, 8_000),
    Encoding("xing.mp3", sndfile("MP3", "MPEG_LAYER_III"), "mp3/mpeg_layer_iii", GOOD),
    Encoding(
        "low.mp3", sndfile("MP3", "MPEG_LAYER_III", 0.9), "mp3/mpeg_layer_iii", LOW, 8_000, 1_105
    ),
    # FFmpeg
    Encoding("lame.mp3", ffmpeg("libmp3lame", "mp3", 32), "mp3/mpeg_layer_iii", GOOD, 44_100),
    Encoding("layer2.mp3", ffmpeg("mp2", "mp2", 64), "mp3/mpeg_layer_ii", GOOD, lag=481),
    Encoding("aac.m4a", ffmpeg("aac", "ipod", 96), "mp4/aac", GOOD, 44_100, channels=2),
    Encoding("low.m4a", ffmpeg("aac", "ipod", 24), "mp4/aac", GOOD),
    Encoding("film.mp4", ffmpeg("aac", "mp4", 48, cover=True), "mp4/aac", GOOD),
    Encoding("alac.m4a", ffmpeg("alac", "ipod"), "mp4/alac", EXACT, channels=2),
    Encoding("ffmpeg-alac.caf", ffmpeg("alac", "caf"), "caf/alac", EXACT),
    Encoding("adts.aac", ffmpeg("aac", "adts", 48), "aac/aac", GOOD, lag=1_024),
    Encoding("aac.ts", ffmpeg("aac", "mpegts", 48), "mpegts/aac", GOOD, lag=1_024),
    Encoding("amr.amr", ffmpeg("libopencore_amrnb", "amr", 12.2), "amr/amr_nb", LOW, 8_000, 39),
    Encoding("low.amr", ffmpeg("libopencore_amrnb", "amr", 4.75), "amr/amr_nb", LOW, 8_000, 39),
    Encoding("amr.3gp", ffmpeg("libopencore_amrnb", "3gp", 12.2), "mp4/amr_nb", LOW, 8_000, -11),
    Encoding("wma2.wma", ffmpeg("wmav2", "asf", 64), "wma/wmav2", GOOD, 44_100, -2_048, 2),
    Encoding("wma1.wma", ffmpeg("wmav1", "asf", 32), "wma/wmav1", GOOD, lag=-512),
    Encoding("opus.webm", ffmpeg("libopus", "webm", 24), "matroska/opus", GOOD, 48_000),
    Encoding("film.webm", ffmpeg("libopus", "matroska", 24, True), "matroska/opus", GOOD, 48_000),
    Encoding("vorbis.mka", ffmpeg("vorbis", "matroska"), "matroska/vorbis", GOOD, channels=2),
    Encoding("opus.mp4", ffmpeg("libopus", "mp4", 24), "mp4/opus", GOOD, 48_000),
    Encoding("flac.ogg", ffmpeg("flac", "ogg"), "ogg/flac", EXACT),
    Encoding("pcm.mov", ffmpeg("pcm_s16be", "mov"), "mp4/pcm_16", EXACT, channels=2),
    Encoding("pcm.avi", ffmpeg("pcm_s16le", "avi"), "avi/pcm_16", EXACT),
    Encoding("pcm.mkv", ffmpeg("pcm_f32le", "matroska"), "matroska/float", EXACT, channels=2),
    Encoding("mp3.flv", ffmpeg("libmp3lame", "flv", 64), "flv/mpeg_layer_iii", GOOD, 44_100, 1_105),
    Encoding("ac3.ac3", ffmpeg("ac3", "ac3", 96), "ac3/ac3", GOOD, 48_000, 256),
    Encoding("g722.wav", ffmpeg("g722", "wav"), "wav/adpcm_g722", GOOD, lag=22),
    Encoding("g726.wav", ffmpeg("g726", "wav", 32), "wav/adpcm_g726", GOOD, 8_000),
    Encoding("g723.wav", ffmpeg("g723_1", "wav", 6.3), "wav/g723_1", LOW, 8_000, 60),
    Encoding("yamaha.wav", ffmpeg("adpcm_yamaha", "wav"), "wav/adpcm_yamaha", GOOD, 8_000),
    Encoding("mp3.wav", ffmpeg("libmp3lame", "wav", 32), "wav/mpeg_layer_iii", GOOD, lag=1_105),
    Encoding("mp2.wav", ffmpeg("mp2", "wav", 64), "wav/mpeg_layer_ii", GOOD, lag=481),
    Encoding("wavpack.wv", ffmpeg("wavpack", "wv"), "wv/wavpack", GOOD),
    Encoding("tta.tta", ffmpeg("tta", "tta"), "tta/tta", GOOD),
]
