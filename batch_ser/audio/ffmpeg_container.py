"""Files and streams as FFmpeg opens them: which are allowed, and what they state.

Containers and codecs are those listed here and no others: FFmpeg knows hundreds, among them
playlists that open further files and addresses. Pictures are never decoded.
"""

import os

import av
from av.audio.stream import AudioStream
from av.stream import Discard

from batch_ser.audio.timestamps import TIMESTAMPED
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
MAX_STATED_S = 1e8  # three years: a longer length is a placeholder


def open_container(path: str) -> av.container.InputContainer:
    """Open a file that FFmpeg may read.

    Raises:
        FileError: `corrupt`.
    """
    options = {
        "format_whitelist": CONTAINERS,
        "codec_whitelist": CODECS,
        "protocol_whitelist": "file",
    }
    try:
        return av.open(f"file:{os.path.abspath(path)}", options=options, metadata_errors="replace")
    except (av.FFmpegError, ValueError) as error:
        message = getattr(error, "strerror", None) or str(error)
        raise FileError(Reason.CORRUPT, message) from error


def audio_stream(container: av.container.InputContainer) -> AudioStream:
    """The first audio stream of a known codec; packets of all others are discarded.

    Raises:
        FileError: `no_audio` when there are pictures alone, or `unsupported`.
    """
    audio = container.streams.audio
    if not audio:
        kinds = sorted({stream.type for stream in container.streams})
        found = f"it holds {' and '.join(kinds)} alone" if kinds else "it holds nothing"
        raise FileError(Reason.NO_AUDIO, f"there is no sound in this file: {found}")
    codecs = CODECS.split(",")
    known = [each for each in audio if each.codec_context and each.codec_context.name in codecs]
    if not known:
        raise FileError(Reason.UNSUPPORTED, "the encoding of its sound is not known")
    for stream in container.streams:
        if stream is not known[0]:
            stream.discard = Discard.all
    known[0].codec_context.thread_count = 1
    return known[0]


def stated_s(container: av.container.InputContainer, stream: AudioStream) -> float:
    """The length that a file states, in seconds; 0 when it states none."""
    duration_s, name = 0.0, container.format.name
    if not name.startswith(STATES_LENGTH):
        return duration_s  # FFmpeg's is guessed from the bit rate
    if stream.duration and stream.time_base:
        start = (stream.start_time or 0) if name.startswith(TIMESTAMPED) else 0
        duration_s = float((stream.duration + start) * stream.time_base)
    elif len(container.streams) == 1:
        duration_s = (container.duration or 0) / 1e6
    return duration_s if duration_s < MAX_STATED_S else 0.0


def codec_name(container: av.container.InputContainer, stream: AudioStream) -> str:
    """Container and encoding, named as libsndfile names them where it knows them."""
    name, codec = container.format.name, stream.codec_context.codec.canonical_name
    return f"{SHORT_NAMES.get(name, name)}/{SAME_CODECS.get(codec, codec)}"
