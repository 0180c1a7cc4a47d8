"""Committed parts: what is done, while the job runs.

The unit of truth is the file: it has all its rows or none. A part is a segments file and then a
files file that names it with its SHA-256; the second one's existence is the commit. Only the
driver writes, each object in one go.
"""

import hashlib
import io
import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.errors import Reason
from batch_ser.results.layout import Output
from batch_ser.results.tables import FAILED, GIVEN_DIGEST, parquet_options

SEGMENTS_ENDING, FILES_ENDING = ".segments.parquet", ".files.parquet"
PART_ROW_GROUP = 4096  # finalising holds one row group per part
TOO_LONG_FOR = re.compile(r"longer than (\S+) hours")  # as `audio.py` says it
Version = tuple[int, int, str]  # size in bytes, modified in microseconds, given segments' digest


@dataclass(frozen=True)
class Part:
    """Rows of some files, sorted by file; a published table counts as the earliest part."""

    segments: tuple[Path, ...]
    files: tuple[Path, ...]
    committed: float

    @property
    def is_published(self) -> bool:
        return self.committed == 0.0

    def rows(self, table: str) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each file, in order of its name."""
        for path in self.segments if table == "segments" else self.files:
            yield from _by_file(path)


@dataclass(frozen=True)
class Winner:
    """The version of a file that counts, and the part that holds it."""

    version: Version
    failed: bool
    part: int
    limit_h: float | None = None  # of one that failed as too long: the limit that it broke


def commit(work: Path, segments: pa.Table, files: pa.Table) -> None:
    """Make rows part of the truth."""
    folder = work / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid.uuid4().hex
    data = _as_parquet(segments.sort_by("file") if len(segments) else segments)
    _write(folder / f"{name}{SEGMENTS_ENDING}", data)
    digest = hashlib.sha256(data).hexdigest()
    metadata = {"segments_sha256": digest, "committed": repr(time.time())}
    marked = files.sort_by("file").replace_schema_metadata((files.schema.metadata or {}) | metadata)
    _write(folder / f"{name}{FILES_ENDING}", _as_parquet(marked))


def _as_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    options = parquet_options(table.schema)
    pq.write_table(table, buffer, row_group_size=PART_ROW_GROUP, **options)
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def committed_parts(output: Output) -> list[Part]:
    """The published tables, if any, and then every committed part in order.

    A part that is missing or damaged does not count: its files are done again.

    Raises:
        MismatchError: a published table is gone.
    """
    parts = []
    for path in (output.work / "parts").glob(f"*{FILES_ENDING}"):
        segments = path.with_name(path.name.removesuffix(FILES_ENDING) + SEGMENTS_ENDING)
        try:
            metadata = pq.read_schema(path).metadata or {}
            whole = metadata[b"segments_sha256"].decode() == _sha256(segments)
        except (pa.ArrowInvalid, OSError, KeyError):  # torn, by a machine that lost power
            continue
        if whole:
            parts.append(Part((segments,), (path,), float(metadata[b"committed"])))
    parts.sort(key=lambda part: part.committed)
    if output.run_json.exists():
        output.check_tables()
        tables = [tuple(output.table_files(name)) for name in (output.as_scored, "files")]
        parts.insert(0, Part(tables[0], tables[1], 0.0))
    return parts


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def winners(parts: Iterable[Part]) -> dict[str, Winner]:
    """For each file the version that was seen last, of equals a good one before a failed one,
    then the one under the highest `--max-hours` if it was too long, then the earliest commit.
    """
    best: dict[str, Winner] = {}
    for number, part in enumerate(parts):
        for path in part.files:
            schema = pq.read_schema(path)
            columns = ["file", "size_bytes", "modified", "status", "reason", "message"]
            table = pq.read_table(
                path, columns=columns + [GIVEN_DIGEST] * (GIVEN_DIGEST in schema.names)
            )
            table = table.set_column(2, "modified", table["modified"].cast(pa.int64()))
            for name, size, modified, status, reason, message, *given in zip(
                *(column.to_pylist() for column in table.columns), strict=True
            ):
                version = size, modified or 0, (given or [""])[0]
                limit_h = _limit_h(message) if reason == Reason.TOO_LONG else None
                new = Winner(version, status == FAILED, number, limit_h)
                old = best.get(name)
                if old is None or _beats(new, old):
                    best[name] = new
    return best


def _limit_h(message: str) -> float | None:
    """The limit that a message of a recording that is too long tells."""
    told = TOO_LONG_FOR.search(message)
    return float(told[1]) if told else None


def _beats(new: Winner, old: Winner) -> bool:
    """Whether a row replaces one that was committed before it."""
    if new.version != old.version or (old.failed and not new.failed):
        return True
    if old.limit_h is None or not new.failed:
        return False
    return new.limit_h is None or new.limit_h > old.limit_h  # it was heard further


def merged(parts: list[Part], wins: dict[str, Winner], table: str) -> Iterator[pa.Table]:
    """The winning rows of every file in order of its name, one table a file, with flat memory."""
    cursors = [_Cursor(part.rows(table)) for part in parts]
    for name in sorted(wins):
        rows = cursors[wins[name].part].take(name)
        if rows is not None:
            yield rows


class _Cursor:
    """Goes once through rows that are sorted by file."""

    def __init__(self, rows: Iterator[tuple[str, pa.Table]]) -> None:
        self._rows = rows
        self._next = next(rows, None)

    def take(self, name: str) -> pa.Table | None:
        """The rows of a file, or None if it has none here."""
        while self._next and self._next[0] < name:
            self._next = next(self._rows, None)
        if not self._next or self._next[0] != name:
            return None
        found = self._next[1]
        self._next = next(self._rows, None)
        return found


def _by_file(path: Path) -> Iterator[tuple[str, pa.Table]]:
    """A Parquet file's rows, one table a file, however they lie in row groups."""
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
