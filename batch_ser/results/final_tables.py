"""Committed parts to the final tables, with flat memory, and the counts that the report shows."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch_ser.results.layout import Output, describe_files, write_json
from batch_ser.results.parts import committed_parts, merged, winners
from batch_ser.results.tables import TableSchemas, mean_scores, parquet_options, with_means

ROW_GROUP = 1_000_000
ROW_GROUP_BYTES = 256_000_000  # embeddings make rows heavy
FILE_BYTES = 128_000_000  # of one part in a folder output
SUMS = ("decoded_s", "scored_s", "not_speech_s", "too_short_s", "not_asked_s", "duration_s")


@dataclass
class Counts:
    """What the tables hold, counted as they are written."""

    files: Counter[str] = field(default_factory=Counter)  # by status
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMS, 0.0))
    emotions: Counter[str] = field(default_factory=Counter)

    def add_files(self, rows: pa.Table) -> None:
        self.files.update(rows["status"].to_pylist())
        self.reasons.update(word for word in rows["reason"].to_pylist() if word)
        notes = (note.split(", ") for note in rows["note"].to_pylist() if note)
        self.notes.update(word for words in notes for word in words)
        for name in SUMS:
            self.seconds[name] += pc.sum(rows[name]).as_py() or 0.0

    def add_segments(self, rows: pa.Table) -> None:
        for count in pc.value_counts(rows["emotion"].cast(pa.string())).to_pylist():
            self.emotions[count["values"]] += count["counts"]

    def as_record(self) -> dict[str, Any]:
        """The counts as JSON; keys in order, so that two equal jobs read equal."""
        counters = {"files": self.files, "reasons": self.reasons, "notes": self.notes}
        counters["emotions"] = self.emotions
        record: dict[str, Any] = {
            name: dict(sorted(counter.items())) for name, counter in counters.items()
        }
        totals = {"files_in": self.files.total(), "segments": self.emotions.total()}
        return record | {"seconds": self.seconds} | totals


class Adapting(Protocol):
    """What becomes of rows of whole files when every one has been seen: `jobs.adapt`."""

    def count(self, files: Iterable[pa.Table]) -> None:
        """The first pass: rows of each file, in order of its name."""

    def record(self) -> dict[str, Any]:
        """Between the passes: what `run.json` says of it."""

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The second pass: rows with other probabilities."""


def finalise(
    output: Output, schemas: TableSchemas, record: dict[str, Any], adapting: Adapting | None = None
) -> dict[str, Any]:
    """Write the final tables and publish them with their record, which is returned whole."""
    parts = committed_parts(output)
    shutil.rmtree(output.final, ignore_errors=True)
    output.final.mkdir(parents=True)
    wins = winners(parts)
    counts = Counts()
    means: dict[str, NDArray[np.float64]] = {}

    def segments(rows: pa.Table) -> pa.Table:
        rows = adapting(rows) if adapting else rows
        means.update(mean_scores(rows, schemas.labels))
        counts.add_segments(rows)
        return rows.select(schemas.final_segments.names)

    def files(rows: pa.Table) -> pa.Table:
        counts.add_files(rows)
        return with_means(rows, means, schemas.labels)  # an earlier run may have adapted them

    if adapting:
        adapting.count(merged(parts, wins, "segments"))
        record = record | adapting.record()
    tables = [
        _Table("segments", "segments", schemas.segments, schemas.final_segments, segments),
        _Table("files", "files", schemas.files, schemas.files, files),
    ]
    if schemas.apart:
        schema = schemas.segments
        tables.append(_Table("embeddings", "segments", schema, schema, lambda rows: rows))
    described: dict[str, Any] = {}
    for table in tables:
        paths = _write_table(output, table, merged(parts, wins, table.rows))
        described |= describe_files(paths, output.final)
    record = record | {"counts": counts.as_record(), "tables": _final_names(output, described)}
    write_json(output.final / "run.json", record)
    output.publish()
    return record


@dataclass(frozen=True)
class _Table:
    """A final table: of which rows of the parts, their schema, its own, and how it is made."""

    name: str
    rows: str
    schema: pa.Schema
    final: pa.Schema
    change: Callable[[pa.Table], pa.Table]


def _write_table(output: Output, table: _Table, rows: Iterable[pa.Table]) -> list[Path]:
    """One final table, in one file or in files of about 128 MB."""
    if output.single_file:
        path = output.final / f"{table.name}.parquet"
        most: float = float("inf")
    else:
        (output.final / table.name).mkdir()
        path = output.final / table.name / "part-00000.parquet"
        most = FILE_BYTES
    paths = [path]
    options = parquet_options(table.final)
    writer = pq.ParquetWriter(path, table.final, **options)
    for group in _groups(rows, table.schema):
        if path.stat().st_size >= most:
            writer.close()
            path = path.with_name(f"part-{len(paths):05}.parquet")
            paths.append(path)
            writer = pq.ParquetWriter(path, table.final, **options)
        writer.write_table(table.change(group).cast(table.final), row_group_size=ROW_GROUP)
    writer.close()
    return paths


def _groups(tables: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    """Small tables put together to row groups."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        waiting.append(table)
        rows += len(table)
        size += table.nbytes
        if rows >= ROW_GROUP or size >= ROW_GROUP_BYTES:
            yield _together(waiting, schema)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield _together(waiting, schema)


def _together(tables: list[pa.Table], schema: pa.Schema) -> pa.Table:
    chosen = (table.select(schema.names).replace_schema_metadata(None) for table in tables)
    joined = pa.concat_tables(chosen)
    return joined.unify_dictionaries().combine_chunks().cast(schema)


def _final_names(output: Output, described: dict[str, Any]) -> dict[str, Any]:
    """Descriptions under the names that the files get when they are published."""
    if not output.single_file:
        return described
    return {
        output.table(name.removesuffix(".parquet")).name: about for name, about in described.items()
    }
