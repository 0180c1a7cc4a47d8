"""Short clips of recordings, as MP3: every browser plays it, and a second takes 3 kB."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import av
import numpy as np

from batch_ser.audio import Excerpt, Excerpts, Reading, Resampler, Samples
from batch_ser.errors import FileError, Reason

RATE_HZ = 16_000
BIT_RATE = 24_000
MOST_CLIP_S = 8.0
FADE_S = 0.01  # at both ends, or they click
LEAST_S = 0.1


class Window(NamedTuple):
    """What is cut from a recording."""

    channel: int  # -1: all of them, mixed
    start_s: float
    end_s: float

    @property
    def until_s(self) -> float:
        """Where the clip ends: long segments are cut."""
        return min(self.end_s, self.start_s + MOST_CLIP_S)


def cut(path: str, reading: Reading, windows: Sequence[Window]) -> list[Samples]:
    """The samples (n,) of each window at `RATE_HZ`; the recording is decoded once, up to the last.

    Raises:
        FileError: it cannot be decoded, lacks a channel, or ends before a window.
    """
    excerpts = Excerpts(
        path, reading, [Excerpt(each.channel, each.start_s, each.until_s) for each in windows]
    )
    parts: list[list[Samples]] = [[np.zeros(0, np.float32)] for _ in windows]
    for number, samples in excerpts.parts():
        parts[number].append(samples)
    return [_finished(np.concatenate(found), excerpts.rate_hz) for found in parts]


def _finished(samples: Samples, rate_hz: int) -> Samples:
    if len(samples) < LEAST_S * rate_hz:
        raise FileError(Reason.BAD_SEGMENT, "the recording ends before the segment")
    resampled = Resampler(rate_hz, RATE_HZ)(samples, last=True)
    fade = np.linspace(0, 1, round(FADE_S * RATE_HZ), dtype=np.float32)
    resampled[: len(fade)] *= fade
    resampled[-len(fade) :] *= fade[::-1]
    return resampled


def encode(samples: Samples) -> bytes:
    """Samples (n,) at `RATE_HZ` as MP3."""
    pcm = np.rint(np.clip(samples, -1, 1) * 32_767).astype(np.int16)
    target = io.BytesIO()
    with av.open(target, "w", format="mp3", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=RATE_HZ, layout="mono")
        stream.bit_rate = BIT_RATE
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16p", layout="mono")
        frame.sample_rate = RATE_HZ
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return target.getvalue()
