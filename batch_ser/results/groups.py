"""Groups of segments, and the sums from which the offset of each is estimated.

A group is the archive, a channel number of its split recordings (agents' headsets are another
recording condition than customers' telephones), and within these, on request, a recording or a
value of a manifest's column (an agent, a customer). Sums add up over files, so that
they need no more memory than there are groups.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from batch_ser.results.tables import TableSchemas

NONE, ARCHIVE, RECORDING = "none", "archive", "recording"
UNSPLIT = -1  # the condition of segments of recordings that were not split into channels
Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Key = Hashable
K = TypeVar("K", bound=Hashable)


@dataclass
class Sums:
    """Of a group: the numbers of its segments and recordings, and the sum of their embeddings."""

    total: Floats  # (width,)
    segments: int = 0
    recordings: int = 0

    def add(self, embeddings: Floats, recordings: int) -> None:
        """Add segments (n, width), of so many recordings that are not counted yet."""
        self.total = self.total + embeddings.sum(0)
        self.segments += len(embeddings)
        self.recordings += recordings


@dataclass
class GroupSums:
    """Sums of many groups, by their keys."""

    sums: dict[Key, Sums] = field(default_factory=dict)

    def add(self, keys: Iterable[Key | None], recordings: Numbers, embeddings: Floats) -> None:
        """Add segments: their keys (None: of no group), the numbers of their recordings (n,),
        their embeddings (n, width). All segments of a recording are added in one call.
        """
        for key, mine in rows_by_key(keys).items():
            if key is None:
                continue
            if key not in self.sums:
                self.sums[key] = Sums(np.zeros(embeddings.shape[1]))
            self.sums[key].add(embeddings[mine], len(np.unique(recordings[mine])))


def rows_by_key(keys: Iterable[K]) -> dict[K, Numbers]:
    """The numbers of the rows that have each key."""
    found: dict[K, list[int]] = {}
    for row, key in enumerate(keys):
        found.setdefault(key, []).append(row)
    return {key: np.array(rows) for key, rows in found.items()}


@dataclass(frozen=True)
class Segments:
    """Rows of the segments table of whole files, as arrays."""

    embeddings: Floats  # (n, width)
    durations_s: Floats  # (n,)
    recordings: Numbers  # (n,): a number for each channel of each file
    conditions: Numbers  # (n,): the channel's number in a split recording, else UNSPLIT

    @classmethod
    def of(cls, rows: pa.Table, schemas: TableSchemas) -> "Segments":
        """Rows with embeddings."""
        embeddings = schemas.embeddings_of(rows).astype(np.float64)
        durations_s = rows["end_s"].to_numpy() - rows["start_s"].to_numpy()
        files = np.unique(rows["file"].to_numpy(), return_inverse=True)[1]
        channels = rows["channel"].to_numpy().astype(np.int64)
        split = np.zeros(int(files.max(initial=-1)) + 1, np.bool_)
        np.logical_or.at(split, files, is_split(channels))
        conditions = np.where(split[files], channels, UNSPLIT)
        recordings = files * (int(channels.max(initial=0)) + 2) + channels
        return cls(embeddings, durations_s, recordings, conditions)


def is_split(channels: Numbers) -> NDArray[np.bool_]:
    """Which channel numbers (n,) show that their recording was split: those above 0."""
    return np.asarray(channels > 0)


def check_grouping(by: str, schemas: TableSchemas) -> None:
    """Refuse a grouping by a column that does not exist.

    Raises:
        UsageError: neither a word of `--adapt` nor a column that is carried along.
    """
    if by in (NONE, ARCHIVE, RECORDING) or (by.strip() and by in schemas.carried_columns):
        return
    columns = (
        ", ".join(schemas.carried_columns) or "none: there is no manifest and no --name-pattern"
    )
    raise UsageError(
        f"--adapt {by.strip() or repr(by)}: expected none, archive, recording, or a column of a "
        f"manifest or of --name-pattern ({columns})"
    )


def values_of(rows: pa.Table, by: str) -> list[Key | None]:
    """The group of each row within its condition: a recording, or the value of a column; None where
    a manifest's cell is empty. Spaces around a value are no part of it.
    """
    if by == RECORDING:
        return list(zip(rows["file"].to_pylist(), rows["channel"].to_pylist(), strict=True))
    return [value.strip() or None if value else None for value in rows[by].to_pylist()]
