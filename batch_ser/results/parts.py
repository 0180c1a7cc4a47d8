"""Committed parts: the rows of finished files, while the job runs.

The unit of commitment is the file: it has all its rows or none. A part is a segments file, a speech
file where there are such rows, and then a files file that names both with their SHA-256, whose
existence is the commit. Only the driver writes, each object in one go.
"""

import hashlib
import io
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.results.json_files import write_json
from batch_ser.results.layout import Output
from batch_ser.results.tables import SPEECH, parquet_options
from batch_ser.storage import Folder, describe

SEGMENTS_ENDING, FILES_ENDING = ".segments.parquet", ".files.parquet"
ENDINGS = {"segments": SEGMENTS_ENDING, SPEECH: ".speech.parquet"}  # written before the files
PART_ROW_GROUP = 4096  # finalising holds one row group per part


@dataclass(frozen=True)
class Part:
    """Rows of some files, sorted by file; a published table counts as the earliest part."""

    folder: Folder
    segments: tuple[str, ...]  # names in the folder
    files: tuple[str, ...]
    speech: tuple[str, ...]
    committed: float  # seconds since 1970; 0: published

    @classmethod
    def published(cls, output: Output) -> "Part":
        """The tables of a complete output, as far as their files exist."""
        content = output.complete_record()
        segments, files, speech = (
            tuple(each for each in output.listed(table, content) if output.folder.find(each))
            for table in ("segments", "files", SPEECH)
        )
        return cls(output.folder, segments, files, speech, committed=0.0)

    @property
    def is_published(self) -> bool:
        return self.committed == 0.0

    def rows(self, table: str) -> Iterator[tuple[str, pa.Table]]:
        """The rows of each file in `segments`, `files` or `speech`, in order of its name."""
        names = {"segments": self.segments, "files": self.files, SPEECH: self.speech}
        for name in names[table]:
            yield from _by_file(self.folder.local(name))


def new_parts(output: Output, fingerprint: dict[str, Any]) -> str:
    """A new folder for parts, which count from now on, and no others."""
    name = f"parts-{uuid.uuid4().hex[:8]}"
    content = {"parts": name, "fingerprint": fingerprint}
    write_json(output.folder, output.settings_json, content)
    return f"{output.work}/{name}"


def write_part(
    folder: Folder, parts: str, segments: pa.Table, files: pa.Table, speech: pa.Table | None = None
) -> Part:
    """Commit the rows of some files in the folder `parts`: with the last file they count."""
    name, committed = f"{parts}/{uuid.uuid4().hex}", time.time()
    metadata, written = {"committed": repr(committed)}, dict[str, tuple[str, ...]]()
    for table, rows in (("segments", segments), (SPEECH, speech)):
        if rows is None or (table == SPEECH and not len(rows)):
            continue
        data = _as_parquet(rows.sort_by("file") if len(rows) else rows)
        folder.write(f"{name}{ENDINGS[table]}", data)
        metadata[_digest(table)] = hashlib.sha256(data).hexdigest()
        written[table] = (f"{name}{ENDINGS[table]}",)
    marked = files.sort_by("file").replace_schema_metadata((files.schema.metadata or {}) | metadata)
    folder.write(f"{name}{FILES_ENDING}", _as_parquet(marked))
    files_name = (f"{name}{FILES_ENDING}",)
    return Part(folder, written["segments"], files_name, written.get(SPEECH, ()), committed)


def _digest(table: str) -> str:
    """Where the metadata of the files have the SHA-256 of another file of their part."""
    return f"{table}_sha256"


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
    folder, settings = output.folder, output.settings()
    found = folder.entries(settings[1]) if settings else ()
    names = [each.name for each in found if each.name.endswith(FILES_ENDING)]
    parts = [part for name in names if (part := _read_part(folder, name))]
    parts.sort(key=lambda part: part.committed)
    content = output.complete_record()
    if content:
        output.check_tables()
        segments, files, speech = (
            tuple(output.listed(name, content)) for name in (output.as_scored, "files", SPEECH)
        )
        parts.insert(0, Part(folder, segments, files, speech, 0.0))
    return parts


def _read_part(folder: Folder, name: str) -> Part | None:
    """A committed part; None if it is damaged, as by a machine that lost power."""
    found: dict[str, tuple[str, ...]] = {"segments": (), SPEECH: ()}
    try:
        schema = pq.read_schema(folder.local(name))
        committed, digests = committed_at(schema), schema.metadata
        for table, ending in ENDINGS.items():
            digest = digests.get(_digest(table).encode())
            if digest is None and table == SPEECH:
                continue  # there were no such rows
            other = name.removesuffix(FILES_ENDING) + ending
            if digest is None or describe(folder.local(other))["sha256"] != digest.decode():
                return None
            found[table] = (other,)
    except FileNotFoundError:
        return None
    except (pa.ArrowInvalid, OSError, KeyError, ValueError):  # OSError: pyarrow's, too
        return None
    return Part(folder, found["segments"], (name,), found[SPEECH], committed)


def committed_at(schema: pa.Schema) -> float:
    """When a part was committed, in seconds since 1970, by its files table.

    Raises:
        KeyError, ValueError: it is none.
    """
    return float((schema.metadata or {})[b"committed"])


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
