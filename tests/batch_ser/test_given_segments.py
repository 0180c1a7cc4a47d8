"""Given segments: each is cut as if it were alone, whatever the blocks."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from segments import NONE, GivenTimes, assert_covers, assert_same, cuts, spans, split

from batch_ser.errors import FileError
from batch_ser.inputs.given_segments import GivenSegment, pack, unpack
from batch_ser.segments.segmenter import Kind, SegmentSettings, Source, in_pieces
from batch_ser.segments.segmenters import SEGMENTERS

HZ = 100  # so that many cases are small
stretches = st.lists(st.tuples(st.integers(0, 2_999), st.integers(1, 3_000)), max_size=12)


@settings(max_examples=200)
@example(total=6, stretches=[], to_end=True, least=7, piece=5, cuts=[])  # a piece fits, but no more
@given(
    total=st.integers(1, 3_000),
    stretches=stretches,
    to_end=st.booleans(),
    least=st.integers(1, 60),
    piece=st.integers(5, 300),
    cuts=cuts,
)
def test_each_given_segment_is_cut_as_if_alone(
    total: int,
    stretches: list[tuple[int, int]],
    to_end: bool,
    least: int,
    piece: int,
    cuts: list[int],
) -> None:
    """Overlapping, nested, equal or apart: piece by piece as if it were alone."""
    places = sorted(
        (start, min(start + length, total)) for start, length in stretches if start < total
    )
    times: GivenTimes = tuple((start / HZ, end / HZ) for start, end in places)
    if to_end:
        times, places = ((0.0, None), *times), [(0, total), *places]
    chosen = SegmentSettings("given", min_s=least / HZ, piece_s=piece / HZ)
    signal = np.arange(total, dtype=np.float32)
    whole = spans(chosen, [signal], HZ, times)
    assert_same(whole, spans(chosen, split(signal, cuts), HZ, times))
    assert_covers(whole, total)
    for number, (start, end) in enumerate(places):
        mine = [span for span in whole if span.samples is not None and span.segment == number]
        alone = list(in_pieces(start, signal[start:end], piece)) if end - start >= least else []
        assert_same([span._replace(segment=0) for span in mine], alone)
    for span in whole:
        if span.kind is Kind.TOO_SHORT:
            assert any(
                start <= span.start and span.end <= end and end - start < least
                for start, end in places
            )


def test_a_long_given_segment_is_not_held() -> None:
    """Two hours, and others inside it, at 8 kHz: never more than two pieces and a block."""
    source = Source(8_000, 8_000, ((0.0, 7_200.0), (1.0, 3_600.0), (5.0, 9.0)))
    segmenter = SEGMENTERS["given"](source, SegmentSettings("given", piece_s=10.0))
    block, ends = np.zeros(80_000, np.float32), []
    for _ in range(720):
        for span in segmenter(block):
            assert span.samples is not None
            assert len(span.samples) <= 80_000
            ends += [span.end] if span.closes else []
        held = segmenter._buffer.end - segmenter._buffer.start  # type: ignore[attr-defined]
        assert held <= 3 * 80_000
    assert not list(segmenter(NONE, 720 * 80_000))
    assert ends == [9 * 8_000, 3_600 * 8_000, 7_200 * 8_000]


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ((1.0, 10.2), "from 1 s to 10.2 s; the recording ends at 10.000 s"),
        ((10.0, 10.05), "from 10 s to 10.05 s"),
        ((11.0, None), "from 11 s to its end"),
    ],
)
def test_segments_beyond_the_end(times: tuple[float, float | None], message: str) -> None:
    chosen = SegmentSettings("given", min_s=0.01)
    with pytest.raises(FileError, match=message):
        spans(chosen, [np.zeros(1_000, np.float32)], HZ, (times,))


def test_an_end_that_was_rounded_is_the_recording_s() -> None:
    chosen = SegmentSettings("given", min_s=0.01)
    found = spans(chosen, [np.zeros(1_000, np.float32)], HZ, ((9.0, 10.09),))
    assert [span[:3] for span in found] == [
        (Kind.SCORED, 900, 1_000),
        (Kind.NOT_ASKED, 0, 900),
    ]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e6),
            st.none() | st.floats(0, 1e6),
            st.none() | st.integers(-1, 127),
            st.tuples(texts, texts),
        )
    ),
    st.randoms(),
)
def test_packed_segments_are_unpacked_unchanged(rows: list[Any], chance: Any) -> None:
    """And the same ones are the same bytes, in whatever order."""
    segments = [GivenSegment(*row) for row in rows]
    packed = pack(segments)
    assert sorted(map(repr, unpack(packed))) == sorted(map(repr, segments))
    chance.shuffle(segments)
    assert pack(segments) == packed
