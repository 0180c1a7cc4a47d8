"""Committed parts: the rows of finished files, while the job runs.

The unit of commitment is the file: it has all its rows or none. A part is a segments file and then
a files file that names it with its SHA-256; the second one's existence is the commit. Only the
driver writes, each object in one go.
"""

import hashlib
import io
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.results.durable import write_bytes
from batch_ser.results.layout import Output
from batch_ser.results.tables import parquet_options

SEGMENTS_ENDING, FILES_ENDING = ".segments.parquet", ".files.parquet"
PART_ROW_GROUP = 4096  # finalising holds one row group per part


@dataclass(frozen=True)
class Part:
    """Rows of some files, sorted by file; a published table counts as the earliest part."""

    segments: tuple[Path, ...]
    files: tuple[Path, ...]
    committed: float  # seconds since 1970; 0: published

    @property
    def is_published(self) -> bool:
        return self.committed == 0.0

    def rows(self, table: str) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each file in `segments` or `files`, in order of its name."""
        for path in self.segments if table == "segments" else self.files:
            yield from _by_file(path)


def write_part(work: Path, segments: pa.Table, files: pa.Table) -> Part:
    """Commit the rows of some files: with the second file of the part they count."""
    folder = work / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    name, committed = uuid.uuid4().hex, time.time()
    part = Part(
        (folder / f"{name}{SEGMENTS_ENDING}",), (folder / f"{name}{FILES_ENDING}",), committed
    )
    data = _as_parquet(segments.sort_by("file") if len(segments) else segments)
    write_bytes(part.segments[0], data)
    digest = hashlib.sha256(data).hexdigest()
    metadata = {"segments_sha256": digest, "committed": repr(committed)}
    marked = files.sort_by("file").replace_schema_metadata((files.schema.metadata or {}) | metadata)
    write_bytes(part.files[0], _as_parquet(marked))
    return part


def _as_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    options = parquet_options(table.schema)
    pq.write_table(table, buffer, row_group_size=PART_ROW_GROUP, **options)
    return buffer.getvalue()


def read_parts(output: Output) -> list[Part]:
    """The published tables, if any, and then every committed part in order.

    Every part is read and compared with its SHA-256. One that is missing or damaged does not
    count: its files are done again.

    Raises:
        MismatchError: a published table is missing.
    """
    parts = []
    for path in output.parts.glob(f"*{FILES_ENDING}"):
        segments = path.with_name(path.name.removesuffix(FILES_ENDING) + SEGMENTS_ENDING)
        try:
            metadata = pq.read_schema(path).metadata or {}
            intact = metadata[b"segments_sha256"].decode() == _sha256(segments)
        except (pa.ArrowInvalid, OSError, KeyError):  # cut off, by a machine that lost power
            continue
        if intact:
            parts.append(Part((segments,), (path,), float(metadata[b"committed"])))
    parts.sort(key=lambda part: part.committed)
    if output.complete_record():
        output.check_tables()
        tables = [tuple(output.table_files(name)) for name in (output.as_scored, "files")]
        parts.insert(0, Part(tables[0], tables[1], 0.0))
    return parts


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _by_file(path: Path) -> Iterator[tuple[str, pa.Table]]:
    """A Parquet file's rows, one table a file, however they are divided into row groups."""
    held: tuple[str, list[pa.Table]] | None = None
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(PART_ROW_GROUP):
            table, at = pa.Table.from_batches([batch]), 0
            for name, same in groupby(batch.column("file").to_pylist()):
                rows = table.slice(at, length := len(list(same)))
                at += length
                if held and held[0] == name:
                    held[1].append(rows)
                    continue
                if held:
                    yield held[0], pa.concat_tables(held[1])
                held = name, [rows]
    if held:
        yield held[0], pa.concat_tables(held[1])
