"""What a segmenter is: a channel's samples, block by block, to spans that cover all of it.

A segmenter is called with each block and yields spans in order and without holes: what is scored
carries the samples that the network hears, everything else says why it is not scored. That is
what closes the books (`jobs/books.py`). However a signal is cut
into blocks, the spans are the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import NamedTuple, Protocol

import numpy as np

from batch_ser.errors import UsageError
from batch_ser.samples import Samples

METHODS = ("speech", "window", "whole")  # the names in `segmenters.py`
LONGEST_S = 600.0  # of a segment that is held in memory: 38 MB


class Kind(StrEnum):
    """What became of a stretch of sound."""

    SCORED = "scored"
    NOT_SPEECH = "not_speech"
    TOO_SHORT = "too_short"
    NOT_ASKED = "not_asked"


class Span(NamedTuple):
    """A stretch [start, end) of a channel, in samples at the segmenter's rate.

    `samples` is what the network hears, for scored spans; it may begin before `start` when a
    segment is longer than the network takes. `closes` is False for every such piece but a
    segment's last.
    """

    kind: Kind
    start: int
    end: int
    samples: Samples | None = None
    closes: bool = True


@dataclass(frozen=True)
class SegmentSettings:
    """How recordings are cut; part of a job's fingerprint and of every checkpoint."""

    method: str = "speech"
    window_s: float = 4.0
    hop_s: float = 4.0
    min_s: float = 0.5
    max_s: float = 8.0
    piece_s: float = 30.0  # what the network takes at once

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"--segment {self.method}: expected one of {', '.join(METHODS)}")
        for name in ("window_s", "hop_s", "min_s"):
            if getattr(self, name) <= 0:
                raise UsageError(f"--{name.replace('_', '-')} must be more than 0 seconds")
        if self.max_s < max(1.0, 2 * self.min_s):
            raise UsageError(
                f"--max-s {self.max_s:g}: expected at least 1 second and twice --min-s "
                f"({self.min_s:g}), so that a cut leaves two halves that can be scored"
            )
        if max(self.window_s, self.max_s) > LONGEST_S:
            raise UsageError(
                f"--window-s and --max-s are at most {LONGEST_S:g} seconds, because a segment is "
                "held in memory; --segment whole takes recordings of any length"
            )

    @classmethod
    def resolve(
        cls, given: Mapping[str, float | str | None], checkpoint: Mapping[str, float | str]
    ) -> "SegmentSettings":
        """Settings from the command line before the checkpoint's before the program's.

        The program's `max_s` is at most what the network takes. The hop is the window unless it
        is asked for.
        """
        asked = {key: value for key, value in given.items() if value is not None}
        program = asdict(cls()) | {"max_s": min(8.0, float(checkpoint["piece_s"]))}
        merged = program | dict(checkpoint) | asked
        if "hop_s" not in asked:
            merged["hop_s"] = merged["window_s"]
        return cls(**merged)


class Segmenter(Protocol):
    """Blocks of one channel to spans."""

    def __call__(self, samples: Samples, last: bool) -> Iterator[Span]:
        """Take the next samples (n,), yield the spans that they complete; `last` ends all."""


class Track:
    """The stretch of a channel that may still be needed, by absolute sample positions."""

    def __init__(self) -> None:
        self._samples = np.zeros(0, np.float32)
        self.start = 0

    @property
    def end(self) -> int:
        return self.start + len(self._samples)

    def append(self, samples: Samples) -> None:
        self._samples = np.concatenate([self._samples, samples])

    def cut(self, start: int, end: int) -> Samples:
        """A copy of [start, end), so that what is kept of it keeps nothing else alive."""
        return self._samples[start - self.start : end - self.start].copy()

    def forget(self, before: int) -> None:
        gone = max(0, min(before, self.end) - self.start)
        self._samples = self._samples[gone:]
        self.start += gone


def in_pieces(start: int, samples: Samples, most: int) -> Iterator[Span]:
    """A segment as pieces of at most `most` samples.

    The last piece covers the segment's final `most` samples; its span is only what is new.
    """
    for begin in range(0, len(samples), most):
        end = min(begin + most, len(samples))
        heard = samples[max(0, end - most) : end]
        yield Span(Kind.SCORED, start + begin, start + end, heard, closes=end == len(samples))


def as_metadata(settings: SegmentSettings) -> dict[str, float | str]:
    """Settings as they are stored in a checkpoint, a fingerprint or a table."""
    return asdict(settings)
