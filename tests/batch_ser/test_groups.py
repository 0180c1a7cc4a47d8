"""Groups of segments: sums that add up, and the conditions of split recordings."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.results.groups import UNSPLIT, GroupSums, Segments
from batch_ser.results.tables import TableSchemas, rounded

WIDTH = 3


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 1000))
def test_sums_add_up_over_parts_in_any_order(keys: list[int], seed: int) -> None:
    """Exactly: stored embeddings are whole steps, so that no rounding depends on the order."""
    draw = np.random.default_rng(seed)
    embeddings = rounded(draw.standard_normal((len(keys), WIDTH)) * 3 + 20).astype(np.float64)
    recordings = np.arange(len(keys)) // 2
    cuts = sorted({0, len(keys), *(int(cut) * 2 for cut in draw.integers(0, len(keys), 3) // 2)})
    parts = list(pairwise(cuts))
    found = GroupSums()
    for start, end in [parts[number] for number in draw.permutation(len(parts))]:
        found.add(keys[start:end], recordings[start:end], embeddings[start:end])
    for key in set(keys):
        mine = np.array(keys) == key
        assert found.sums[key].segments == mine.sum()
        assert found.sums[key].recordings == len(np.unique(recordings[mine]))
        assert np.array_equal(found.sums[key].total, embeddings[mine].sum(0))


def test_segments_of_no_group_count_in_none() -> None:
    found = GroupSums()
    found.add(["a", None, "a"], np.arange(3), np.ones((3, WIDTH)))
    assert found.sums.keys() == {"a"}
    assert found.sums["a"].segments == 2


def test_only_split_recordings_have_channels_of_their_own() -> None:
    """A mono file and a mixture are of no channel; two segments of a channel are one recording."""
    schemas = TableSchemas(("happy", "sad"), embedding_width=WIDTH)
    constant = {"start_s": 0.0, "end_s": 2.0, "emotion": "sad", "confidence": 1.0}
    constant |= {"p_happy": 0.0, "p_sad": 1.0, "embedding": [0.0] * WIDTH}
    keys = [("a", 0, 0), ("a", 0, 1), ("a", 1, 0), ("b", 0, 0), ("c", -1, 0), ("d", 1, 0)]
    rows = [
        constant | {"file": file, "channel": channel, "segment": segment}
        for file, channel, segment in keys
    ]
    found = Segments.of(pa.Table.from_pylist(rows, schema=schemas.segments), schemas)
    assert found.conditions.tolist() == [0, 0, 1, UNSPLIT, UNSPLIT, 1]
    assert len(np.unique(found.recordings)) == 5
    assert (found.durations_s == 2).all()


@given(st.integers(0, 1000))
def test_stored_embeddings_are_near_and_round_to_themselves(seed: int) -> None:
    draw = np.random.default_rng(seed)
    values = draw.standard_normal(50) * 10.0 ** draw.integers(-3, 5, 50)
    found = rounded(values)
    assert np.abs(found - values).max() <= np.maximum(2.0**-16, np.abs(values) * 1e-6).max()
    assert np.array_equal(rounded(found), found)
