"""Segmenters in tests: run over blocks, and their spans compared and checked."""

import numpy as np
from hypothesis import strategies as st

from batch_ser.audio.samples import Samples
from batch_ser.segments.segmenter import Kind, SegmentSettings, Source, Span, Times
from batch_ser.segments.segmenters import SEGMENTERS

NONE = np.zeros(0, np.float32)
GivenTimes = tuple[Times, ...]
cuts = st.lists(st.integers(0, 1_000_000), max_size=8)


def split(signal: Samples, where: list[int]) -> list[Samples]:
    """A signal in blocks, however short: some of them are empty."""
    return np.split(signal, sorted(cut % (len(signal) + 1) for cut in where))


def spans(
    settings: SegmentSettings, blocks: list[Samples], rate_hz: int, given: GivenTimes = ()
) -> list[Span]:
    """The spans of blocks at the network's own rate."""
    segmenter = SEGMENTERS[settings.method](Source(rate_hz, rate_hz, given), settings)
    found = [span for block in blocks for span in segmenter(block)]
    return found + list(segmenter(NONE, sum(map(len, blocks))))


def assert_same(left: list[Span], right: list[Span]) -> None:
    assert [span[:3] + span[4:] for span in left] == [span[:3] + span[4:] for span in right]
    for one, other in zip(left, right, strict=True):
        assert (one.samples is None) == (other.samples is None)
        if one.samples is not None and other.samples is not None:
            assert np.array_equal(one.samples, other.samples)


def assert_covers(found: list[Span], total: int) -> None:
    """What is scored, and once and in order what is not, to the last frame."""
    covered = np.zeros(total, int)
    for span in found:
        assert 0 <= span.start < span.end <= total or span.kind is Kind.SCORED
        if span.kind is Kind.SCORED:
            covered[span.start : span.end] = 1
    rest = [span for span in found if span.kind is not Kind.SCORED]
    assert [span.start for span in rest] == sorted(span.start for span in rest)
    for span in rest:
        assert not covered[span.start : span.end].any()
        covered[span.start : span.end] = 1
    assert covered.all()
