"""Groups of segments: what a job that sees a whole archive knows before it answers.

A group is the archive, a channel of a recording (one person, in a call), or a value of a column
that a manifest brought (an agent, a customer). Its sums add up over files, so that they need no
more memory than there are groups; those of recordings are taken as each one passes by.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from batch_ser.tables import EMBEDDING, TableSchemas

NONE, ARCHIVE, RECORDING = "none", "archive", "recording"
Floats = NDArray[np.float64]


@dataclass
class Sums:
    """What is known of a group: how many segments, and sums over them."""

    count: int
    embeddings: Floats  # (width,)
    squares: Floats  # (width,): of the embeddings' numbers
    probabilities: Floats  # (labels,)

    def add(self, embeddings: Floats, probabilities: Floats) -> None:
        """Count segments in: (n, width), (n, labels)."""
        self.count += len(embeddings)
        self.embeddings += embeddings.sum(0)
        self.squares += np.square(embeddings).sum(0)
        self.probabilities += probabilities.sum(0)


@dataclass(frozen=True)
class Scored:
    """Rows of the segments table as arrays."""

    embeddings: NDArray[np.float32]  # (n, width)
    probabilities: NDArray[np.float32]  # (n, labels)

    @classmethod
    def of(cls, rows: pa.Table, schemas: TableSchemas) -> "Scored":
        numbers = rows[EMBEDDING].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        labels = [rows[f"p_{label}"].to_numpy() for label in schemas.labels]
        embeddings = numbers.reshape(len(rows), schemas.embedding_width)
        return cls(embeddings, np.stack(labels, axis=1))


@dataclass(frozen=True)
class Group:
    """Of each segment's group: how many segments, their mean embedding and probabilities."""

    counts: Floats  # (n,)
    embeddings: Floats  # (n, width)
    variances: Floats  # (n, width): of the embeddings' numbers, unbiased; 0 for a single segment
    probabilities: Floats  # (n, labels)


def check_grouping(by: str, schemas: TableSchemas) -> None:
    """Refuse a grouping by a column that there is not.

    Raises:
        UsageError: neither one of our words nor a column that the manifests brought.
    """
    if by in (NONE, ARCHIVE, RECORDING) or by in schemas.carried_columns:
        return
    columns = ", ".join(schemas.carried_columns) or "none: the inputs are no manifest"
    raise UsageError(
        f"--adapt {by}: expected none, archive, recording, or a column of the manifest ({columns})"
    )


def keys_of(rows: pa.Table, by: str) -> list[object]:
    """The group of each row; None: of no group, as where a manifest's cell is empty."""
    if by == ARCHIVE:
        return [ARCHIVE] * len(rows)
    if by == RECORDING:
        return list(zip(rows["file"].to_pylist(), rows["channel"].to_pylist(), strict=True))
    return [value if value and value.strip() else None for value in rows[by].to_pylist()]


def add_sums(sums: dict[object, Sums], keys: Iterable[object], scored: Scored) -> None:
    """Count rows into the sums of their groups."""
    rows: defaultdict[object, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        if key is not None:
            rows[key].append(row)
    for key, mine in rows.items():
        embeddings = scored.embeddings[mine].astype(np.float64)
        probabilities = scored.probabilities[mine].astype(np.float64)
        if key not in sums:
            width = embeddings.shape[1]
            sums[key] = Sums(0, np.zeros(width), np.zeros(width), np.zeros(probabilities.shape[1]))
        sums[key].add(embeddings, probabilities)


def group_of(sums: Mapping[object, Sums], keys: Sequence[object], scored: Scored) -> Group:
    """What is known of each row's group; a row without one is alone."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys)) if key is not None}
    found = [sums[key] for key in numbers]
    rows = np.array([numbers.get(key, -1) for key in keys], np.int64)  # -1 is the last
    counts = np.array([each.count for each in found] + [1])

    def means(each: list[Floats], alone: NDArray[np.floating]) -> Floats:
        table = np.stack([*each, np.zeros(alone.shape[1])]) / counts[:, None]
        return np.where((rows < 0)[:, None], alone, table[rows])

    alone = scored.embeddings.astype(np.float64)
    embeddings = means([each.embeddings for each in found], alone)
    squares = means([each.squares for each in found], np.square(alone))
    count = counts[rows].astype(np.float64)
    unbiased = count / np.maximum(count - 1, 1)
    return Group(
        count,
        embeddings,
        np.maximum(squares - np.square(embeddings), 0.0) * unbiased[:, None],
        means([each.probabilities for each in found], scored.probabilities),
    )
