"""Rows of the tables with other values: new scores, their means, one dictionary of labels."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from batch_ser.results.tables import EMBEDDING, ROLE


def times_and_scores(rows: pa.Table) -> pa.Table:
    """The columns of the segments table that are computed from the audio, without the emotion."""
    own = ("channel", "segment", "start_s", "end_s", EMBEDDING)
    return rows.select([name for name in rows.column_names if name in own or name[:2] == "p_"])


def with_scores(rows: pa.Table, scores: NDArray[np.float32], labels: Sequence[str]) -> pa.Table:
    """Rows of the segments table with new probabilities (rows, labels)."""
    best = scores.argmax(1)
    emotions = pa.DictionaryArray.from_arrays(pa.array(best, pa.int8()), list(labels))
    columns = {
        "emotion": emotions,
        "confidence": pa.array(scores[np.arange(len(rows)), best]),
        **{f"p_{label}": pa.array(scores[:, i]) for i, label in enumerate(labels)},
    }
    for name, values in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
    return rows


def with_all_labels(rows: pa.Table, labels: Sequence[str]) -> pa.Table:
    """Rows whose `emotion` has every label in the checkpoint's order as its dictionary.

    So the categories of two results of a checkpoint are the same, and pandas compares them.
    """
    found = pc.index_in(rows["emotion"].cast(pa.string()), pa.array(labels, pa.string()))
    codes = found.combine_chunks().cast(pa.int8())
    column = rows.schema.get_field_index("emotion")
    values = pa.DictionaryArray.from_arrays(codes, pa.array(labels, pa.string()))
    return rows.set_column(column, rows.schema.field(column), values)


def with_roles(rows: pa.Table) -> pa.Table:
    """Rows whose `role` has the roles in order of appearance, not of commits, as its dictionary."""
    column = rows.schema.get_field_index(ROLE[0])
    values = pc.dictionary_encode(rows[ROLE[0]].cast(pa.string())).unify_dictionaries()
    return rows.set_column(column, rows.schema.field(column), values.cast(ROLE[1]))


def mean_scores(rows: pa.Table, labels: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """The mean probabilities (labels,) of each file, weighted by the segments' durations."""
    scores = np.stack([rows[f"p_{label}"].to_numpy() for label in labels], axis=1)
    weights = rows["end_s"].to_numpy() - rows["start_s"].to_numpy()
    names = rows["file"].to_pylist()
    starts = [i for i, name in enumerate(names) if not i or name != names[i - 1]]
    found = {}
    for start, end in pairwise([*starts, len(names)]):
        found[names[start]] = np.average(scores[start:end], axis=0, weights=weights[start:end])
    return found


def with_means(
    rows: pa.Table, means: Mapping[str, NDArray[np.float64]], labels: Sequence[str]
) -> pa.Table:
    """Rows of the files table with new mean probabilities; null for files that have none."""
    found = [means.get(name) for name in rows["file"].to_pylist()]
    for i, label in enumerate(labels):
        column = [None if each is None else float(each[i]) for each in found]
        name = f"p_{label}"
        values = pa.array(column, pa.float32())
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), values)
    return rows
