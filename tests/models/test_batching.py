"""Batches of similar length, and means over the pieces of segments."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.audio.samples import Samples
from models.batching import (
    Outputs,
    Piece,
    SegmentMeans,
    batches,
    consecutive,
    score_pieces,
    segment_means,
)


@given(st.lists(st.integers(0, 500), max_size=40), st.integers(1, 1_000))
def test_batches_hold_similar_rows_within_the_budget(lengths: list[int], budget: int) -> None:
    """Every row once, with at most a quarter of padding."""
    found = list(batches(lengths, budget))
    rows = [int(row) for each in found for row in each]
    assert sorted(rows) == list(range(len(lengths)))
    assert [lengths[row] for row in rows] == sorted(lengths, reverse=True)
    for each in found:
        padded = len(each) * max(lengths[row] for row in each)
        assert padded <= budget or len(each) == 1
        assert sum(lengths[row] for row in each) >= 0.75 * padded


def test_consecutive_rows() -> None:
    assert [list(range(7))[part] for part in consecutive(7, 3)] == [[0, 1, 2], [3, 4, 5], [6]]


def outputs(pieces: list[Samples]) -> Outputs:
    """Probabilities and an embedding that depend on a piece's samples alone."""
    if any(np.isnan(each).any() for each in pieces):
        raise ValueError("not a number")
    first = np.array([[each.mean() if len(each) else 0.0] for each in pieces], np.float32)
    return np.hstack([first, 1 - first]), 10 * first


@given(st.lists(st.integers(0, 90), min_size=1, max_size=12), st.integers(1, 200))
def test_means_do_not_depend_on_the_batches(lengths: list[int], budget: int) -> None:
    draw = np.random.default_rng(0)
    segments = [draw.random(length).astype(np.float32) for length in lengths]
    for one, other in zip(
        segment_means(segments, 20, outputs, budget),
        [segment_means([each], 20, outputs, 20)[0] for each in segments],
        strict=True,
    ):
        assert np.array_equal(one.probabilities, other.probabilities)
        assert np.array_equal(one.embedding, other.embedding)
        assert one.probabilities.sum() == pytest.approx(1)


def test_a_piece_that_fails_fails_alone() -> None:
    pieces = [Piece(np.full(9, value, np.float32), 9, SegmentMeans()) for value in (0.1, np.nan)]
    failed: list[Piece] = []
    score_pieces(pieces, outputs, 100, lambda piece, _: failed.append(piece))
    assert failed == [pieces[1]]
    assert pieces[0].means.embedding == pytest.approx(1.0)
    with pytest.raises(ValueError, match="not a number"):
        score_pieces(pieces, outputs, 100)
