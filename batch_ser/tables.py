"""The two tables: their columns, and how rows become Arrow tables.

`results.parquet` has a row per segment, `results.files.parquet` a row per input. The columns are
a contract: README.md lists them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

OK, EMPTY, FAILED = "ok", "empty", "failed"
WORDS = pa.dictionary(pa.int8(), pa.string())
EMBEDDING = "embedding"  # on request: float32, but of float16's precision

SEGMENT_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("file", pa.string()),
    ("channel", pa.int8()),  # 0-based; -1 when mixed
    ("segment", pa.int32()),  # 0-based within (file, channel)
    ("start_s", pa.float64()),
    ("end_s", pa.float64()),
    ("emotion", WORDS),
    ("confidence", pa.float32()),
)
FILE_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("file", pa.string()),
    ("size_bytes", pa.int64()),
    ("modified", pa.timestamp("us", tz="UTC")),
    ("status", pa.string()),
    ("reason", pa.string()),
    ("message", pa.string()),
    ("note", pa.string()),
    ("codec", pa.string()),
    ("sample_rate_hz", pa.int32()),
    ("channels", pa.int32()),
    ("duration_s", pa.float64()),
    ("decoded_s", pa.float64()),  # this and the next four: sums over channels
    ("scored_s", pa.float64()),
    ("not_speech_s", pa.float64()),
    ("too_short_s", pa.float64()),
    ("not_asked_s", pa.float64()),
    ("speech_s", pa.list_(pa.float64())),  # per scored channel
    ("overlap_s", pa.float64()),  # more than one channel speaks
    ("silence_s", pa.float64()),  # none speaks
    ("segments", pa.int32()),
)


@dataclass(frozen=True)
class TableSchemas:
    """The schemas of one job's tables."""

    labels: tuple[str, ...]
    manifest_columns: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    embedding_width: int = 0  # 0: no column `embedding`

    @property
    def segments(self) -> pa.Schema:
        probabilities = [(f"p_{label}", pa.float32()) for label in self.labels]
        embedding = [(EMBEDDING, pa.list_(pa.float32(), self.embedding_width))]
        further = [(name, pa.string()) for name in self.carried_columns]
        own = [*SEGMENT_COLUMNS, *probabilities, *(embedding if self.embedding_width else [])]
        columns = [*own, *further]
        return pa.schema(columns, metadata=dict(self.metadata))

    @property
    def files(self) -> pa.Schema:
        means = [(f"p_{label}", pa.float32()) for label in self.labels]
        return pa.schema([*FILE_COLUMNS, *means], metadata=dict(self.metadata))

    @property
    def carried_columns(self) -> tuple[str, ...]:
        """The manifest's columns; one whose name is ours travels as `in_<name>`."""
        ours = {name for name, _ in SEGMENT_COLUMNS} | {f"p_{label}" for label in self.labels}
        ours |= {EMBEDDING} if self.embedding_width else set()
        return tuple(f"in_{name}" if name in ours else name for name in self.manifest_columns)


def file_row(
    file: str, size_bytes: int, modified_us: int, status: str, **columns: Any
) -> dict[str, Any]:
    """A row of the files table; what is not given is null."""
    modified = datetime.fromtimestamp(modified_us / 1e6, UTC) if modified_us else None
    row = dict.fromkeys(name for name, _ in FILE_COLUMNS)
    row |= {"file": file, "size_bytes": size_bytes, "modified": modified, "status": status}
    return row | {"segments": 0} | columns


def to_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table."""
    return pa.Table.from_pylist(list(rows), schema=schema)
