"""What a segmenter is: a channel's samples, block by block, to spans that cover all of it.

A segmenter is called with each block and yields spans: what is scored carries the samples for the
network, and the rest, without gaps, the kind of sound that is not scored. The accounts of
`jobs/worker` check that nothing is missing. However a signal is cut into blocks, the spans are the
same, and in the same order.

Spans are in frames of the source's own clock, whatever the network's rate: the times of windows and
of given segments are exact to one of its samples, and do not drift.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np

from batch_ser.audio import Samples
from batch_ser.errors import UsageError

SPEECH, GIVEN = "speech", "given"
METHODS = (SPEECH, "window", GIVEN, "whole")  # the names in `segmenters.py`
MAX_S = 600.0  # of a segment that is held in memory: 38 MB
MIN_S = 0.01  # of a window, its hop, and a given segment: some samples at any rate
Times = tuple[float, float | None]  # start_s, end_s; None: at the end of the recording


class Kind(StrEnum):
    """What became of a stretch of sound."""

    SCORED = "scored"
    NOT_SPEECH = "not_speech"
    TOO_SHORT = "too_short"
    NOT_ASKED = "not_asked"


class Span(NamedTuple):
    """A stretch [start, end) of a channel, in frames of its source.

    `samples` are the network's input, for scored spans; they may begin before `start` when a
    segment is longer than that input. `closes` is False for every such piece but a segment's last.
    `segment` identifies segments that are open at the same time.
    """

    kind: Kind
    start: int
    end: int
    samples: Samples | None = None
    closes: bool = True
    segment: int = 0


def at_rate(position: int, from_hz: int, to_hz: int) -> int:
    """A position of one clock on another, to the nearest sample, in whole numbers throughout."""
    return (2 * position * to_hz + from_hz) // (2 * from_hz)


@dataclass(frozen=True)
class Source:
    """What a segmenter knows of its channel before the first samples."""

    source_hz: int  # of the recording's clock, on which spans are counted
    rate_hz: int  # of the samples that come: the network's
    given_times: tuple[
        tuple[float, float | None], ...
    ] = ()  # start_s, end_s (None: the recording's)

    def sample(self, frame: int) -> int:
        """The sample at a frame of the source."""
        return at_rate(frame, self.source_hz, self.rate_hz)

    def frame(self, sample: int) -> int:
        """The frame of the source at a sample."""
        return at_rate(sample, self.rate_hz, self.source_hz)


@dataclass(frozen=True)
class SegmentSettings:
    """How recordings are cut; part of a job's fingerprint and of every checkpoint."""

    method: str = "speech"
    window_s: float = 4.0
    hop_s: float = 4.0
    min_s: float = 0.5
    max_s: float = 8.0
    piece_s: float = 30.0  # the network's longest input

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"--segment {self.method}: expected one of {', '.join(METHODS)}")
        for name, limit in (("window_s", MIN_S), ("hop_s", MIN_S), ("min_s", 0.0)):
            if not (limit <= getattr(self, name) < math.inf) or not getattr(self, name):
                expected = f"at least {limit:g}" if limit else "more than 0"
                option = name.replace("_", "-")
                raise UsageError(f"--{option} {getattr(self, name):g}: expected {expected} seconds")
        if not self.max_s >= max(1.0, 2 * self.min_s):
            raise UsageError(
                f"--max-s {self.max_s:g}: expected at least 1 second and twice --min-s "
                f"({self.min_s:g}), so that a cut leaves two halves that can be scored"
            )
        if max(self.window_s, self.max_s) > MAX_S:
            raise UsageError(
                f"--window-s and --max-s are at most {MAX_S:g} seconds, because a segment is "
                "held in memory; --segment whole takes recordings of any length"
            )

    @classmethod
    def resolve(
        cls, options: Mapping[str, float | str | None], checkpoint: Mapping[str, float | str]
    ) -> "SegmentSettings":
        """Settings from the command line before the checkpoint's before the program's.

        The program's `max_s` is at most the network's longest input. The hop is the window unless
        there is an option. Given segments are scored down to 10 ms unless there is `min_s`.
        """
        chosen = {key: value for key, value in options.items() if value is not None}
        program = asdict(cls()) | {"max_s": min(8.0, float(checkpoint["piece_s"]))}
        merged = program | dict(checkpoint) | chosen
        if merged["method"] == GIVEN and "min_s" not in chosen:
            merged["min_s"] = MIN_S  # a segment that is named needs a row
        if "hop_s" not in chosen:
            merged["hop_s"] = merged["window_s"]
        return cls(**merged)


class Segmenter(Protocol):
    """Blocks of one channel to spans."""

    def __call__(self, samples: Samples, total: int | None = None) -> Iterator[Span]:
        """Add the next samples (n,) and yield the spans that they complete.

        With the last ones comes `total`, how many frames of its source the channel has.
        """


class SampleBuffer:
    """The samples of a channel that may still be needed, by their positions in the channel."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self.start = 0

    @property
    def end(self) -> int:
        return self.start + len(self._samples)

    def append(self, samples: Samples) -> None:
        self._samples = np.concatenate([self._samples, samples])

    def cut(self, start: int, end: int) -> Samples:
        """A copy of [start, end), which does not keep the buffer in memory."""
        return self._samples[start - self.start : end - self.start].copy()

    def drop(self, before: int) -> None:
        """Drop the samples before a position."""
        gone = max(0, min(before, self.end) - self.start)
        self._samples = self._samples[gone:]
        self.start += gone


def in_pieces(
    start: int, samples: Samples, max_length: int, end: int | None = None
) -> Iterator[Span]:
    """A segment as pieces of at most `max_length` samples, with spans in samples.

    With `end`, spans are in frames of the source [start, end). The last piece covers the segment's
    final `max_length` samples; its span is only what is new.
    """
    length = len(samples)
    frames = length if end is None else end - start
    for begin in range(0, length, max_length):
        stop = min(begin + max_length, length)
        piece = samples[max(0, stop - max_length) : stop]
        first, last = (start + at_rate(at, length, frames) for at in (begin, stop))
        yield Span(Kind.SCORED, first, last, piece, closes=stop == length)


def as_metadata(settings: SegmentSettings) -> dict[str, float | str]:
    """Settings as they are stored in a checkpoint, a fingerprint or a table."""
    return asdict(settings)
