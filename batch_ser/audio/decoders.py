"""What decodes a file, told by its content: libsndfile first, FFmpeg for what that cannot open."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from batch_ser.audio.content import (
    FFMPEG,
    FLAC,
    HEAD_BYTES,
    MP3,
    OGG,
    SNDFILE,
    UNKNOWN,
    Content,
    content_of,
)
from batch_ser.audio.flac import FlacFile
from batch_ser.audio.mp3 import states_its_length
from batch_ser.audio.ogg import OggFile
from batch_ser.audio.ogg_pages import Survey, survey
from batch_ser.audio.raw import RawSettings
from batch_ser.audio.samples import Samples
from batch_ser.audio.sndfile import SndFile
from batch_ser.errors import FileError, Reason


class Decoder(Protocol):
    """What decodes one file, in one pass."""

    rate_hz: int  # of the first samples
    channels: int
    codec: str  # container/encoding
    stopped_by: str | None  # what ended the pass before the file's end
    damaged: bool  # something inside could not be decoded
    first_track: bool  # there are others, which are not read
    is_empty: bool  # finds no sample, where another decoder may

    @property
    def truncated(self) -> bool: ...
    def blocks(self) -> Iterator[tuple[int, Samples]]: ...
    def close(self) -> None: ...


def open_decoder(path: str, raw: RawSettings) -> Decoder:
    """The decoder that opens a file: the first that can, of those for its content.

    Raises:
        FileError: missing, forbidden, empty, or none can.
    """
    head = _head(path)
    content = content_of(head, raw.frames_asked(path), not raw.names_encoding(path))
    headerless = raw.of(path, content is not UNKNOWN)
    if headerless:
        return SndFile(path, headerless)
    refusals: list[tuple[str, FileError]] = []
    empty: Decoder | None = None
    for name, opener in _openers(content, path):
        try:
            decoder = opener(path)
        except FileError as error:
            if error.reason not in (Reason.CORRUPT, Reason.UNSUPPORTED):
                raise
            refusals.append((name, error))
            continue
        if not decoder.is_empty:
            return decoder
        decoder.close()  # the rest of what it says still holds
        empty = decoder
    if empty:
        return empty
    raise _not_opened(path, content, refusals) from (refusals[-1][1] if refusals else None)


def _openers(content: Content, path: str) -> Iterator[tuple[str, Callable[[str], Decoder]]]:
    pages = survey(path) if content is OGG else Survey()
    if pages.damaged:
        yield from _ogg_openers(pages)
        return
    if SNDFILE in content.decoders and (content is not MP3 or states_its_length(path)):
        yield SNDFILE, {OGG: OggFile, FLAC: FlacFile}.get(content, SndFile)
    if FFMPEG in content.decoders:
        from batch_ser.audio.ffmpeg import FFmpegFile

        yield FFMPEG, FFmpegFile


def _ogg_openers(pages: Survey) -> Iterator[tuple[str, Callable[[str], Decoder]]]:
    """FFmpeg tells when each page is due, but of a single stream alone."""
    if pages.streams == 1:
        from batch_ser.audio.ffmpeg import FFmpegFile

        yield FFMPEG, partial(FFmpegFile, pages=pages)
    yield SNDFILE, partial(OggFile, broken=True)


def _head(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
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
    return head


def _not_opened(path: str, content: Content, refusals: list[tuple[str, FileError]]) -> FileError:
    """Tell a damaged recording from something that is none."""
    name = Path(path).name
    said = "; ".join(f"{decoder}: {error}" for decoder, error in refusals)
    if content is UNKNOWN:
        return FileError(
            Reason.UNSUPPORTED,
            f"{name} holds {content.name} ({said}); if it has no header, name it after its "
            "encoding (.ulaw, .alaw, .gsm, .sln) or give --raw-encoding",
        )
    if not refusals:
        return FileError(Reason.UNSUPPORTED, f"{name} holds {content.name}, expected audio")
    if refusals[-1][1].reason is Reason.UNSUPPORTED:
        return FileError(Reason.UNSUPPORTED, f"{content.name} of an unknown encoding ({said})")
    return FileError(Reason.CORRUPT, f"the {content.name} file is damaged ({said})")
