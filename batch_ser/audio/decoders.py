"""Which decoder opens a file, by its content: libsndfile first, FFmpeg for what it cannot open."""

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
from batch_ser.audio.ogg import OggFile
from batch_ser.audio.ogg_pages import PageSummary, summarise_pages
from batch_ser.audio.raw import RawSettings
from batch_ser.audio.samples import Samples
from batch_ser.audio.sndfile import SndFile
from batch_ser.audio.xing_header import xing_header_covers_file
from batch_ser.errors import FileError, Reason


class Decoder(Protocol):
    """What decodes one file, in one pass."""

    rate_hz: int  # of the first samples
    channels: int
    codec: str  # container/encoding
    stopped_by: str | None  # what ended the pass before the file's end
    damaged: bool  # something inside could not be decoded
    first_track: bool  # there are others, which are not read
    is_empty: bool  # no sample is found, where another decoder may find some

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
    frames, may_be_text = raw.frames_needed(path), not raw.names_encoding(path)
    content = content_of(head, frames=frames, may_be_text=may_be_text)
    headerless = raw.for_file(path, has_header=content is not UNKNOWN)
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
        decoder.close()  # its rate, channels and codec can still be read
        empty = decoder
    if empty:
        return empty
    raise _not_opened(path, content, refusals) from (refusals[-1][1] if refusals else None)


def _openers(content: Content, path: str) -> Iterator[tuple[str, Callable[[str], Decoder]]]:
    pages = summarise_pages(path) if content is OGG else PageSummary()
    if pages.damaged:
        yield from _ogg_openers(pages)
        return
    if SNDFILE in content.decoders and (content is not MP3 or xing_header_covers_file(path)):
        yield SNDFILE, {OGG: OggFile, FLAC: FlacFile}.get(content, SndFile)
    if FFMPEG in content.decoders:
        from batch_ser.audio.ffmpeg import FFmpegFile

        yield FFMPEG, FFmpegFile


def _ogg_openers(pages: PageSummary) -> Iterator[tuple[str, Callable[[str], Decoder]]]:
    """FFmpeg has the time of each page, but of a single stream alone."""
    if pages.streams == 1:
        from batch_ser.audio.ffmpeg import FFmpegFile

        yield FFMPEG, partial(FFmpegFile, pages=pages)
    yield SNDFILE, partial(OggFile, has_damaged_pages=True)


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
    """The error of a damaged recording, or of something that is none."""
    name = Path(path).name
    found = "; ".join(f"{decoder}: {error}" for decoder, error in refusals)
    if content is UNKNOWN:
        return FileError(
            Reason.UNSUPPORTED,
            f"{name} holds {content.name} ({found}); if it has no header, name it after its "
            "encoding (.ulaw, .alaw, .gsm, .sln) or give --raw-encoding",
        )
    if not refusals:
        return FileError(Reason.UNSUPPORTED, f"{name} holds {content.name}, expected audio")
    if refusals[-1][1].reason is Reason.UNSUPPORTED:
        return FileError(Reason.UNSUPPORTED, f"{content.name} of an unknown encoding ({found})")
    return FileError(Reason.CORRUPT, f"the {content.name} file is damaged ({found})")
