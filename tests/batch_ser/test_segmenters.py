"""Segments: any way of cutting a signal into blocks gives the same ones, and they cover it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from segments import assert_covers, assert_same, cuts, spans, split

from batch_ser.errors import UsageError
from batch_ser.segments.segmenter import METHODS, Kind, SegmentSettings, in_pieces
from batch_ser.segments.segmenters import SEGMENTERS


@given(
    total=st.integers(1, 5_000),
    window=st.integers(10, 700),
    hop=st.integers(10, 900),
    least=st.integers(1, 400),
    piece=st.integers(5, 300),
    method=st.sampled_from(["window", "whole"]),
    cuts=cuts,
)
def test_windows_and_wholes(
    total: int, window: int, hop: int, least: int, piece: int, method: str, cuts: list[int]
) -> None:
    """At 100 Hz, so that many cases are small."""
    chosen = SegmentSettings(
        method, window / 100, hop / 100, least / 100, max(8.0, least / 50), piece / 100
    )
    signal = np.arange(total, dtype=np.float32)
    whole = spans(chosen, [signal], 100)
    assert_same(whole, spans(chosen, split(signal, cuts), 100))
    assert_covers(whole, total)
    for span in whole:
        if span.samples is not None:
            assert 0 < len(span.samples) <= piece
            assert span.samples[-1] == span.end - 1  # the samples end where the span ends
        elif span.kind is Kind.TOO_SHORT:
            assert span.end - span.start < least


def test_every_method_has_its_segmenter() -> None:
    assert tuple(SEGMENTERS) == METHODS


def test_windows_as_a_user_expects() -> None:
    signal = np.zeros(1_030, np.float32)
    chosen = SegmentSettings("window", window_s=4.0, hop_s=4.0, min_s=0.5)
    found = spans(chosen, [signal], 100)
    assert [(s.kind, s.start, s.end) for s in found] == [
        (Kind.SCORED, 0, 400),
        (Kind.SCORED, 400, 800),
        (Kind.SCORED, 800, 1_030),
    ]


@given(length=st.integers(1, 500), most=st.integers(1, 120))
def test_pieces_of_a_long_segment(length: int, most: int) -> None:
    """Consecutive; the last one has the final `most` samples; only the last closes."""
    pieces = list(in_pieces(7, np.arange(length, dtype=np.float32), most))
    assert [p.start for p in pieces] + [7 + length] == [7] + [p.end for p in pieces]
    assert [p.closes for p in pieces] == [False] * (len(pieces) - 1) + [True]
    for piece in pieces:
        assert piece.samples is not None
        assert len(piece.samples) == min(most, length)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "words"}, "speech, window, given, whole"),
        ({"window_s": 0.0}, "--window-s"),
        ({"min_s": -1.0}, "--min-s"),
        ({"hop_s": 0.001}, "--hop-s 0.001: expected at least 0.01 seconds"),
        ({"hop_s": float("nan")}, "--hop-s nan"),
        ({"max_s": float("nan")}, "--max-s nan"),
        ({"max_s": 0.6, "min_s": 0.5}, "--max-s"),
        ({"window_s": 9_999.0}, "--segment whole"),
    ],
)
def test_settings_that_cannot_work(wrong: dict[str, float | str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        SegmentSettings(**wrong)  # type: ignore[arg-type]


def test_settings_come_from_the_command_line_first() -> None:
    defaults = {"piece_s": 3.0, "min_s": 0.7}
    assert SegmentSettings.resolve({}, defaults).max_s == 3.0
    chosen = SegmentSettings.resolve({"window_s": 2.0, "min_s": None}, defaults)
    assert (chosen.hop_s, chosen.min_s) == (2.0, 0.7)
