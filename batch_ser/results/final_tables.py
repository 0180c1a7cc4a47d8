"""Committed parts to the final tables, with flat memory."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch_ser.results.changed_rows import mean_scores, with_all_labels, with_means, with_roles
from batch_ser.results.committed import CommittedParts
from batch_ser.results.counts import Counts
from batch_ser.results.layout import Output
from batch_ser.results.publication import new_tables, publish
from batch_ser.results.run_record import Alarm, RunRecord
from batch_ser.results.tables import EMBEDDINGS, SPEECH, TableSchemas, parquet_options
from batch_ser.storage import describe_files

ROW_GROUP = 1_000_000
ROW_GROUP_BYTES = 64_000_000  # in memory three times over while it is written
JOINED_ROWS = 1_024  # of files' tables that are joined at once: one of a single row takes 18 kB
FILE_BYTES = 128_000_000  # of one file in a folder output


class Rescoring(Protocol):
    """New scores of rows of whole files, once all rows have been counted: `jobs/second_pass.py`."""

    def count(self, files: Iterable[pa.Table]) -> None:
        """The first pass: rows of each file, in order of its name."""

    def record(self) -> dict[str, Any] | None:
        """Between the passes: the offset, for `run.json`."""

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The second pass: rows with new probabilities."""


class Watching(Protocol):
    """What may be wrong with an output, found in its rows: `jobs/alarms.py`."""

    def add(self, rows: pa.Table) -> None:
        """Rows of the segments table, with their final probabilities."""

    def found(self, record: RunRecord) -> Sequence[Alarm]:
        """Once all rows were added: the alarms for `run.json`; `record` has its counts."""


def finalise(
    output: Output,
    committed: CommittedParts,
    schemas: TableSchemas,
    record: RunRecord,
    rescoring: Rescoring | None = None,
    check: Callable[[], None] = lambda: None,
    watching: Watching | None = None,
) -> RunRecord:
    """Write the final tables and publish them with their record, which is returned complete.

    `check` raises where another driver has taken over, before anything is published.
    """
    made = new_tables(output)
    if rescoring:
        rescoring.count(_rows(committed, schemas, "segments"))
        record = replace(record, offset=rescoring.record())
    counts = Counts()
    described: dict[str, Any] = {}
    for table in _final_tables(schemas, counts, rescoring, watching):
        paths = _write_table(output, made, table, _rows(committed, schemas, table.source))
        described |= describe_files(paths, made)
    settings = output.settings()
    parts = settings[1].rpartition("/")[2] if settings else record.parts
    record = replace(record, counts=counts, tables=described, parts=parts)
    if watching:
        record = replace(record, alarms=watching.found(record))
    publish(output, made, record.as_json(), check)
    return record


def _rows(committed: CommittedParts, schemas: TableSchemas, table: str) -> Iterator[pa.Table]:
    """The rows that count, a table for each file, with the columns of its name."""
    rows, pattern = committed.rows(table), schemas.name_pattern
    return map(pattern.with_columns, rows) if pattern and table == "segments" else rows


@dataclass(frozen=True)
class _Table:
    """A final table: the rows of the parts that it is made of, how, and both schemas."""

    name: str
    source: str  # segments, files or speech
    schema: pa.Schema  # of the rows in the parts
    final: pa.Schema
    change: Callable[[pa.Table], pa.Table]


def _final_tables(
    schemas: TableSchemas, counts: Counts, rescoring: Rescoring | None, watching: Watching | None
) -> Iterator[_Table]:
    """The tables in the order in which they are written: files need the means of segments."""
    means: dict[str, NDArray[np.float64]] = {}

    def segments(rows: pa.Table) -> pa.Table:
        rows = rescoring(rows) if rescoring else rows
        means.update(mean_scores(rows, schemas.labels))
        counts.add_segments(rows)
        if watching:
            watching.add(rows)
        rows = with_all_labels(rows.select(schemas.final_segments.names), schemas.labels)
        return with_roles(rows)

    def files(rows: pa.Table) -> pa.Table:
        counts.add_files(rows)
        return with_means(rows, means, schemas.labels)  # an earlier run may have adapted them

    yield _Table("segments", "segments", schemas.segments, schemas.final_segments, segments)
    yield _Table("files", "files", schemas.files, schemas.files, files)
    if schemas.apart:
        schema = schemas.embeddings
        yield _Table(EMBEDDINGS, "segments", schema, schema, with_roles)
    if schemas.detects:
        yield _Table(SPEECH, SPEECH, schemas.speech, schemas.speech, with_roles)


def _write_table(output: Output, made: Path, table: _Table, rows: Iterable[pa.Table]) -> list[Path]:
    """One final table below `made`, in one file or in files of about 128 MB."""
    paths = _names(output, made, table.name)
    written = [next(paths)]
    max_bytes = float("inf") if output.single_file else FILE_BYTES
    options = parquet_options(table.final)
    writer = pq.ParquetWriter(written[-1], table.final, **options)
    for group in _row_groups(rows, table.schema):
        if written[-1].stat().st_size >= max_bytes:
            writer.close()
            written.append(next(paths))
            writer = pq.ParquetWriter(written[-1], table.final, **options)
        writer.write_table(table.change(group).cast(table.final), row_group_size=ROW_GROUP)
    writer.close()
    return written


def _names(output: Output, made: Path, table: str) -> Iterator[Path]:
    """Where the files of a table are made; in a folder their names are new ones."""
    path = made / output.table(table)
    if output.single_file:
        yield path
        return
    path.mkdir()
    once = uuid.uuid4().hex[:8]
    for number in count():
        yield path / f"part-{once}-{number:05}.parquet"


def _row_groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables of a file each joined to row groups."""
    waiting: list[pa.Table] = []
    rows = size_bytes = 0
    for table in _joined_often(tables, schema):
        waiting.append(table)
        rows += len(table)
        size_bytes += table.nbytes
        if rows >= ROW_GROUP or size_bytes >= ROW_GROUP_BYTES:
            yield _joined(waiting, schema)
            waiting, rows, size_bytes = [], 0, 0
    if waiting:
        yield _joined(waiting, schema)


def _joined_often(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        if rows >= JOINED_ROWS:
            yield _joined(waiting, schema)
            waiting, rows = [], 0
    if waiting:
        yield _joined(waiting, schema)


def _joined(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    chosen = (_with_columns(table, schema).replace_schema_metadata(None) for table in tables)
    joined = pa.concat_tables(chosen)
    return joined.unify_dictionaries().combine_chunks().cast(schema)


def _with_columns(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of a schema; null where the table is from before there was such a column."""
    if table.column_names == schema.names:
        return table  # by far the most, and `select` takes most of the time
    for name in set(schema.names).difference(table.column_names):
        table = table.append_column(name, pa.nulls(len(table), schema.field(name).type))
    return table.select(schema.names)
