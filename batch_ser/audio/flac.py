"""FLAC: libsndfile ends at the first damaged frame, FFmpeg finds the next one."""

from collections.abc import Iterator

import numpy as np

from batch_ser.audio.ogg_pages import PageSummary
from batch_ser.audio.samples import Samples
from batch_ser.audio.sndfile import SndFile
from batch_ser.errors import FileError


class FlacFile(SndFile):
    """FLAC through libsndfile, and from a damaged frame on through FFmpeg."""

    def blocks(self) -> Iterator[tuple[int, Samples]]:
        """Yield the rate and the next samples (frames, channels); silence for damaged frames."""
        yield from super().blocks()
        if self.stopped_by is None:
            return
        skip = self.decoded_frames
        for block in self._by_ffmpeg():
            rest = block[skip:]
            skip -= min(skip, len(block))
            if len(rest):
                self.decoded_frames += len(rest)
                self.damaged = True
                yield self.rate_hz, rest
        if self.damaged and self.decoded_frames >= self._stated_frames > 0:
            self.stopped_by = None  # all of it is there

    def _by_ffmpeg(self) -> Iterator[Samples]:
        """All of the file again, as long as rate and channels are the same."""
        from batch_ser.audio.ffmpeg import FFmpegFile

        try:
            # with a summary of pages, time stamps count: FLAC numbers its frames
            file = FFmpegFile(self._path, PageSummary(), check_checksums=True)
        except FileError:
            return
        try:
            for rate_hz, block in file.blocks():
                if rate_hz != self.rate_hz or block.shape[1] != self.channels:
                    return
                yield np.ascontiguousarray(block)
        finally:
            file.close()
