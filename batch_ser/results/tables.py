"""The tables: their columns, and how rows become Arrow tables.

`results.parquet` has a row per segment, `results.files.parquet` a row per input, and
`results.speech.parquet` one per region of speech. The columns are documented, and stable.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch_ser.results.name_pattern import NamePattern

EMBEDDINGS = "embeddings"  # of segments, where results are or were adapted
SPEECH = "speech"  # regions of speech, where it is detected
TABLES = ("segments", "files", EMBEDDINGS, SPEECH)
OK, EMPTY, FAILED = "ok", "empty", "failed"
PARTIAL = "partial"  # of a recording that is not done yet: in committed parts only
LABELS = pa.dictionary(pa.int8(), pa.string())
ROLE = ("role", pa.dictionary(pa.int32(), pa.string()))  # null without `--roles`
CROSSTALK = ("crosstalk", pa.bool_())  # null where no speech is detected
SPEECH_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("file", pa.string()),
    ("channel", pa.int8()),  # 0-based; -1 when mixed
    ROLE,
    ("start_s", pa.float64()),
    ("end_s", pa.float64()),
    CROSSTALK,
)
GIVEN_DIGEST = "given"  # of the files table: a digest of a file's given segments
MAX_HOURS = "max_hours"  # of the files table: a later run with a higher limit does the file again
EMBEDDING = "embedding"  # on request; `rounded`
STEP = 2.0**-15  # of an embedding's numbers: see `rounded`
MAX_ROUNDED = 256.0  # float32 has such steps up to here

SEGMENT_COLUMNS: tuple[tuple[str, pa.DataType], ...] = (
    ("file", pa.string()),
    ("channel", pa.int8()),  # 0-based; -1 when mixed
    ("segment", pa.int32()),  # 0-based within (file, channel)
    ("start_s", pa.float64()),
    ("end_s", pa.float64()),
    ("emotion", LABELS),
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
    ("speech_s", pa.list_(pa.float64())),  # per chosen channel, without crosstalk
    ("overlap_s", pa.float64()),  # more than one channel speaks
    ("silence_s", pa.float64()),  # no channel speaks
    ("segments", pa.int32()),
    (MAX_HOURS, pa.float64()),  # of a file that is too long: the limit that it exceeded
)


@dataclass(frozen=True)
class TableSchemas:
    """The schemas of one job's tables."""

    labels: tuple[str, ...]
    manifest_columns: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    embedding_width: int = 0  # 0: no column `embedding`
    apart: bool = False  # embeddings are kept in a table of their own
    shown: bool = True  # the embeddings are in the final segments table, too
    given: bool = False  # with given segments or roles: the files table has their digest
    detects: bool = False  # speech is detected: there is a speech table
    name_pattern: NamePattern | None = None  # its columns are in the final tables alone

    @classmethod
    def of(
        cls, schema: pa.Schema, *, apart: bool, shown: bool, given: bool, detects: bool
    ) -> "TableSchemas":
        """From the schema of a segments table in a Parquet file."""
        metadata = {key.decode(): value.decode() for key, value in schema.metadata.items()}
        labels = tuple(json.loads(metadata["labels"]))
        own = [name for name, _ in SEGMENT_COLUMNS] + [f"p_{label}" for label in labels]
        own += [ROLE[0], CROSSTALK[0]]
        width = schema.field(EMBEDDING).type.list_size if has_embeddings(schema) else 0
        own += [EMBEDDING] * bool(width)
        further = tuple(name for name in schema.names if name not in own)
        return cls(labels, further, metadata, width, apart, shown, given, detects)

    def with_name_pattern(self, pattern: NamePattern | None) -> "TableSchemas":
        """The schemas with the columns of a pattern, too.

        Raises:
            UsageError: there is a column of one of their names already.
        """
        if pattern is None:
            return self
        pattern.check_apart([*self.segments.names, EMBEDDING])
        columns = (*self.carried_columns, *pattern.columns)
        return replace(self, manifest_columns=columns, name_pattern=pattern)

    def without_columns(self, pattern: NamePattern | None) -> "TableSchemas":
        """The schemas without the columns of a pattern."""
        out = pattern.columns if pattern else ()
        columns = tuple(name for name in self.manifest_columns if name not in out)
        return replace(self, manifest_columns=columns, name_pattern=None)

    @property
    def segments(self) -> pa.Schema:
        probabilities = [(f"p_{label}", pa.float32()) for label in self.labels]
        embedding = [(EMBEDDING, pa.list_(pa.float32(), self.embedding_width))]
        further = [(name, pa.string()) for name in self.carried_columns]
        own = [
            *SEGMENT_COLUMNS,
            *probabilities,
            ROLE,
            CROSSTALK,
            *(embedding if self.embedding_width else []),
        ]
        columns = [*own, *further]
        return pa.schema(columns, metadata=dict(self.metadata))

    @property
    def final_segments(self) -> pa.Schema:
        """The schema of the published segments table."""
        schema = self.segments
        if self.embedding_width and not self.shown:
            schema = schema.remove(schema.get_field_index(EMBEDDING))
        return schema

    @property
    def embeddings(self) -> pa.Schema:
        """The schema of the table of embeddings: segments without scores, which are made of it."""
        schema = self.segments
        scores = {"emotion", "confidence", *(f"p_{label}" for label in self.labels)}
        columns = [each for each in schema if each.name not in scores]
        return pa.schema(columns, metadata=schema.metadata)

    @property
    def speech(self) -> pa.Schema:
        """The schema of the table of regions of speech."""
        return pa.schema(SPEECH_COLUMNS, metadata=dict(self.metadata))

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the final tables."""
        embeddings = (EMBEDDINGS,) if self.apart else ()
        return ("segments", "files", *embeddings, *((SPEECH,) if self.detects else ()))

    @property
    def files(self) -> pa.Schema:
        means = [(f"p_{label}", pa.float32()) for label in self.labels]
        given = [(GIVEN_DIGEST, pa.string())] if self.given else []
        return pa.schema([*FILE_COLUMNS, *given, *means], metadata=dict(self.metadata))

    def embeddings_of(self, rows: pa.Table) -> NDArray[np.float32]:
        """The embeddings (rows, width) in rows of the segments table."""
        numbers = rows[EMBEDDING].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.asarray(numbers.reshape(len(rows), self.embedding_width))

    @property
    def carried_columns(self) -> tuple[str, ...]:
        """The manifest's columns; one with the name of a column of ours becomes `in_<name>`.

        Where that is another column of the manifest, `in_in_<name>`, and so on.
        """
        ours = {name for name, _ in SEGMENT_COLUMNS} | {f"p_{label}" for label in self.labels}
        ours |= {ROLE[0], CROSSTALK[0], EMBEDDING}  # adapted results have one, if not in this table
        taken, carried = ours | set(self.manifest_columns), []
        for column in self.manifest_columns:
            name = column
            while name in taken and (name != column or name in ours):
                name = f"in_{name}"
            taken.add(name)
            carried.append(name)
        return tuple(carried)


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How tables are written: zstd, and embeddings with byte stream split, which halves them."""
    if not has_embeddings(schema):
        return {"compression": "zstd"}
    others = [name for name in schema.names if name != EMBEDDING]
    return {
        "compression": "zstd",
        "use_dictionary": others,
        "use_byte_stream_split": [f"{EMBEDDING}.list.element"],
    }


def rounded(embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
    """Embeddings as tables store them: float32 in steps of 1/32,768, which pack like float16.

    Scores are computed from stored embeddings, now and later. Batches change an embedding by 1e-6,
    which rounding sometimes turns into a step: of 3e-5 here, below the tolerance of scores. In
    float16 the step would be 2e-3, and a score would change by as much.
    """
    steps = np.round(embeddings / STEP) * STEP
    return np.where(np.abs(embeddings) < MAX_ROUNDED, steps, embeddings).astype(np.float32)


def has_embeddings(schema: pa.Schema) -> bool:
    """Whether there are embeddings: a manifest may have another column of that name."""
    return EMBEDDING in schema.names and pa.types.is_fixed_size_list(schema.field(EMBEDDING).type)


def is_speech(path: Path) -> bool:
    """Whether a Parquet file is a speech table of this program."""
    schema = pq.read_schema(path)
    ours = b"program" in (schema.metadata or {})
    return ours and schema.names == [name for name, _ in SPEECH_COLUMNS]


def file_row(
    file: str, size_bytes: int, modified_us: int, status: str, **columns: Any
) -> dict[str, Any]:
    """A row of the files table; other columns are null."""
    modified = datetime.fromtimestamp(modified_us / 1e6, UTC) if modified_us else None
    row = dict.fromkeys(name for name, _ in FILE_COLUMNS)
    row |= {"file": file, "size_bytes": size_bytes, "modified": modified, "status": status}
    return row | {"segments": 0} | columns


def to_table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    """Rows as a table."""
    return pa.Table.from_pylist(list(rows), schema=schema)
