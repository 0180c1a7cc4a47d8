"""Segments of a recording that an earlier attempt at it scored and committed.

A recording that is begun again is decoded and segmented from its start, and a segment that has a
row takes its values from there instead of going through the network. A row is recognised by its
channel, where it starts, and its number among the given segments of the channel.
"""

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from batch_ser.errors import FileError, Reason
from batch_ser.results import TableSchemas
from models.batching import Embeddings, Probabilities


class StoredRowsDiffer(FileError):
    """Stored rows are not those of the segments that were found: none of them can be relied on."""

    def __init__(self, found: str) -> None:
        message = f"rows that an earlier attempt stored are of other segments: {found}"
        super().__init__(Reason.INTERNAL_ERROR, message)


class StoredSegment(NamedTuple):
    """The row of one segment."""

    end: int  # in frames of the source
    probabilities: Probabilities  # (labels,)
    embedding: Embeddings | None  # (width,), where tables have embeddings


class StoredRows:
    """The rows that are stored of one recording, each of which is taken once."""

    def __init__(self, rows: pa.Table | None, schemas: TableSchemas, rate_hz: int) -> None:
        """Of rows of partial results, whose column `segment` has a given segment's number."""
        self._segments: dict[tuple[int, int, int], StoredSegment] = {}
        if rows is None or not len(rows):
            return
        # start_s is a frame divided by the rate: this gives back the frame, exactly
        starts, ends = (
            np.rint(rows[name].to_numpy() * rate_hz).astype(np.int64).tolist()
            for name in ("start_s", "end_s")
        )
        keys = zip(rows["channel"].to_pylist(), starts, rows["segment"].to_pylist(), strict=True)
        probabilities = np.stack([rows[f"p_{label}"].to_numpy() for label in schemas.labels], 1)
        embeddings = schemas.embeddings_of(rows) if schemas.embedding_width else [None] * len(rows)
        for key, *values in zip(keys, ends, probabilities, embeddings, strict=True):
            self._segments[key] = StoredSegment(*values)

    def take(self, channel: int, start: int, number: int) -> StoredSegment | None:
        """The row of a segment that starts at this frame, if there is one."""
        return self._segments.pop((channel, start, number), None)

    def check_all_taken(self) -> None:
        """Check, at the end of the recording, that every row was one of its segments.

        Raises:
            StoredRowsDiffer: there was no such segment.
        """
        if self._segments:
            channel, start, _ = next(iter(self._segments))
            raise StoredRowsDiffer(f"none of channel {channel} starts at frame {start}")
