"""Committed parts to the final tables, with flat memory, and the counts that the report shows."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch_ser.output import TABLES, Output, describe_files, write_json
from batch_ser.parts import Part, committed_parts, merged, winners
from batch_ser.tables import TableSchemas

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
        self.notes.update(word for word in rows["note"].to_pylist() if word)
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


def finalise(output: Output, schemas: TableSchemas, record: dict[str, Any]) -> dict[str, Any]:
    """Write the final tables and publish them with their record, which is returned whole."""
    parts = committed_parts(output)
    shutil.rmtree(output.final, ignore_errors=True)
    output.final.mkdir(parents=True)
    wins = winners(parts)
    counts = Counts()
    described: dict[str, Any] = {}
    for table, schema in zip(TABLES, (schemas.segments, schemas.files), strict=True):
        count = counts.add_segments if table == "segments" else counts.add_files
        paths = _write_table(output, table, schema, parts, wins, count)
        described |= describe_files(paths, output.final)
    record = record | {"counts": counts.as_record(), "tables": _final_names(output, described)}
    write_json(output.final / "run.json", record)
    output.publish()
    return record


def _write_table(output, table, schema, parts: list[Part], wins, count) -> list[Path]:  # type: ignore[no-untyped-def]
    """One final table, in one file or in files of about 128 MB."""
    if output.single_file:
        path = output.final / f"{table}.parquet"
        most: float = float("inf")
    else:
        (output.final / table).mkdir()
        path = output.final / table / "part-00000.parquet"
        most = FILE_BYTES
    paths = [path]
    writer = pq.ParquetWriter(path, schema, compression="zstd")
    for group in _groups(merged(parts, wins, table), schema):
        if path.stat().st_size >= most:
            writer.close()
            path = path.with_name(f"part-{len(paths):05}.parquet")
            paths.append(path)
            writer = pq.ParquetWriter(path, schema, compression="zstd")
        count(group)
        writer.write_table(group, row_group_size=ROW_GROUP)
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
    joined = pa.concat_tables(table.replace_schema_metadata(None) for table in tables)
    return joined.unify_dictionaries().combine_chunks().cast(schema)


def _final_names(output: Output, described: dict[str, Any]) -> dict[str, Any]:
    """Descriptions under the names that the files get when they are published."""
    if not output.single_file:
        return described
    return {
        output.table(name.removesuffix(".parquet")).name: about for name, about in described.items()
    }
