"""What a file holds, by its first bytes; its name counts only where these do not decide."""

import codecs
import re
from dataclasses import dataclass

from batch_ser.audio.frame_sync import (
    FrameSize,
    ac3_frame_size,
    adts_frame_size,
    begins_with_frames,
    latm_frame_size,
    mpeg_frame_size,
)

HEAD_BYTES = 8192  # three frames of any kind
MIN_LETTERS = 5  # different ones in a text; silence in mu-law or A-law is one or two
SNDFILE, FFMPEG = "libsndfile", "FFmpeg"


@dataclass(frozen=True)
class Content:
    """A kind of file, and which decoders are tried, in this order; none for what is no audio."""

    name: str
    decoders: tuple[str, ...] = (SNDFILE, FFMPEG)


UNKNOWN = Content("data of no known audio format")
TEXT = Content("text", ())
OGG = Content("Ogg")
FLAC = Content("FLAC")
MP3 = Content("MP3")

SIGNATURES: tuple[tuple[bytes, Content], ...] = (
    (rb"RIF[FX]....WAVE", Content("WAV")),
    (rb"(RF64|BW64)....WAVE", Content("RF64")),
    (rb"riff\x2e\x91\xcf\x11", Content("W64")),
    (rb"FORM....AIF[FC]", Content("AIFF")),
    (rb"\.snd|dns\.", Content("AU")),
    (rb"caff\x00", Content("CAF")),
    (rb"fLaC", FLAC),
    (rb"OggS", OGG),
    (rb"ID3[\x02-\x04]", MP3),
    (rb"NIST_1A", Content("NIST SPHERE", (SNDFILE,))),
    (rb"Creative Voice File", Content("VOC")),
    (rb"#!AMR", Content("AMR", (FFMPEG,))),
    (rb"....(ftyp|moov|mdat|free|skip|wide)", Content("MP4", (FFMPEG,))),
    (rb"\x1a\x45\xdf\xa3", Content("Matroska or WebM", (FFMPEG,))),
    (rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11", Content("WMA", (FFMPEG,))),
    (rb"RIFF....AVI ", Content("AVI", (FFMPEG,))),
    (rb"FLV\x01", Content("FLV", (FFMPEG,))),
    (rb"wvpk", Content("WavPack", (FFMPEG,))),
    (rb"TTA1", Content("TTA", (FFMPEG,))),
    (rb"MAC ", Content("Monkey's Audio", (FFMPEG,))),
    (rb"\x00\x00\x01\xba", Content("MPEG video", (FFMPEG,))),
    (rb"G.{187}G.{187}G", Content("an MPEG transport stream", (FFMPEG,))),
    (rb"%PDF", Content("a PDF document", ())),
    (rb"PK\x03\x04", Content("a ZIP archive or an Office document", ())),
    (rb".{257}ustar", Content("a tar archive", ())),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd", Content("compressed data", ())),
    (rb"7z\xbc\xaf|Rar!", Content("an archive", ())),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|II\*\x00|MM\x00\*", Content("an image", ())),
    (rb"SQLite format 3", Content("a database", ())),
    (rb"PAR1", Content("a Parquet table", ())),
    (rb"\x7fELF", Content("a program", ())),
    (rb"\xff\xfe([\t-~]\x00){8}|\xfe\xff(\x00[\t-~]){8}", TEXT),
)
AAC = Content("AAC", (FFMPEG,))
SYNCS: tuple[tuple[bytes, FrameSize, Content], ...] = (  # which also occur in headerless audio
    (rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff][\x10-\xef]", mpeg_frame_size, MP3),
    (rb"\xff[\xf0\xf1\xf8\xf9]", adts_frame_size, AAC),
    (rb"\x56[\xe0-\xff]", latm_frame_size, AAC),
    (rb"\x0b\x77", ac3_frame_size, Content("AC-3", (FFMPEG,))),
)


def content_of(head: bytes, *, frames: int = 1, may_be_text: bool = True) -> Content:
    """What a file holds that begins with these bytes, up to `HEAD_BYTES` of them.

    Formats without a header are recognised by their first `frames` frames, and not at all if that
    is 0. Without `may_be_text`, letters alone do not make it text.
    """
    for signature, content in SIGNATURES:
        if re.match(signature, head, re.DOTALL):
            return content
    if may_be_text and _is_text(head):
        return TEXT
    for sync, frame_size, content in SYNCS if frames else ():
        if re.match(sync, head, re.DOTALL) and (
            frames == 1 or begins_with_frames(head, sync, frame_size, frames)
        ):
            return content
    return UNKNOWN


def _is_text(head: bytes) -> bool:
    """UTF-8 without control characters; the last character may be cut."""
    if re.search(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]", head) or len(set(head)) < MIN_LETTERS:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
