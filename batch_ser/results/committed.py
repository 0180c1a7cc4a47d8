"""What is committed: of each file the row that counts, and the part that holds it.

Read once when a job starts; the driver adds what it commits, and hands all of it on to the final
tables. The index takes about 300 bytes a file.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.errors import Reason
from batch_ser.results.layout import Output
from batch_ser.results.parts import Part, new_parts, read_parts, write_part
from batch_ser.results.tables import FAILED, GIVEN_DIGEST, MAX_HOURS, PARTIAL

Version = tuple[int, int, str]  # of a file: size, time of modification, digest of given segments
INDEX_COLUMNS = ("file", "size_bytes", "modified", "status", "reason", "message", MAX_HOURS)
UNKNOWN_LIMIT = 0.0  # of files that were too long, in tables from before the column `max_hours`


class CommittedFile(NamedTuple):
    """The row of a file that counts, as far as a later run needs it."""

    size_bytes: int
    modified_us: int  # since 1970, UTC; 0: not known
    given_digest: str  # of its given segments; empty: none are given
    failed: bool
    part: int  # which of the parts holds it
    exceeded_h: float | None  # of a file that was too long: the limit that it exceeded
    reason: str = ""  # why it failed
    message_hash: int = 0  # of the message of a file that failed; of this process alone

    @property
    def version(self) -> Version:
        """Comparable with the `version` of an input file."""
        return self.size_bytes, self.modified_us, self.given_digest


class CommittedParts:
    """The committed parts of an output, and an index of the files in them.

    Rows of recordings that are not done yet (status `partial`) are in parts of their own and count
    nowhere: they only save work, by `partial_rows`.
    """

    def __init__(self, parts: Iterable[Part], output: Output | None = None) -> None:
        """Of some parts; `output` takes those that are added."""
        self.parts: list[Part] = []
        self.files: dict[str, CommittedFile] = {}
        self._partial: dict[str, list[tuple[Version, int]]] = {}  # and the number of the part
        self._output = output
        self._parts_folder = ""
        self._dropped = False
        for part in parts:
            paths = (part.folder.local(name) for name in part.files)
            self._add(part, (batch for path in paths for batch in index_columns(path)))

    @classmethod
    def of(cls, output: Output) -> "CommittedParts":
        """Those of an output; each is compared with its SHA-256.

        Raises:
            MismatchError: a published table is missing.
        """
        return cls(read_parts(output), output)

    @property
    def all_published(self) -> bool:
        """Whether the published tables, if any, hold everything."""
        return not self._dropped and all(part.is_published for part in self.parts)

    def commit(self, segments: pa.Table, files: pa.Table, speech: pa.Table | None = None) -> None:
        """Write the rows of some files as a part, and add it."""
        assert self._output
        if not self._parts_folder:
            self._parts_folder = _parts_folder(self._output)
        part = write_part(self._output.folder, self._parts_folder, segments, files, speech)
        self._add(part, files.to_batches())

    def drop(self, name: str) -> None:
        """Leave out a file that is none any more: new final tables are without its rows."""
        del self.files[name]
        self._dropped = True

    def rows(self, table: str, only: Iterable[str] | None = None) -> Iterator[pa.Table]:
        """The rows that count in `segments`, `files` or `speech`, in order of the files' names.

        Yields one table a file, of all files or `only` of these; memory does not grow.
        """
        names = sorted(self.files if only is None else only)
        numbers = {self.files[name].part for name in names}  # none of parts with partial rows
        cursors = {number: Cursor(self.parts[number].rows(table)) for number in numbers}
        for name in names:
            rows = cursors[self.files[name].part].take(name)
            if rows is not None:
                yield rows

    def partial_rows(self, name: str, version: Version) -> list[pa.Table]:
        """Rows of segments of a recording that is not done yet, in the order of their commits."""
        numbers = [number for found, number in self._partial.get(name, ()) if found == version]
        return [
            rows
            for number in numbers
            for file, rows in self.parts[number].rows("segments")
            if file == name
        ]

    def _add(self, part: Part, batches: Iterable[pa.RecordBatch]) -> None:
        """Index the files of a part."""
        number = len(self.parts)
        self.parts.append(part)
        for batch in batches:
            for name, status, row in indexed(batch, number):
                if status == PARTIAL:
                    self._partial.setdefault(name, []).append((row.version, number))
                    continue
                self._partial.pop(name, None)
                old = self.files.get(name)
                if old is None or beats(row, old):
                    self.files[name] = row


def _parts_folder(output: Output) -> str:
    """Where parts of an output count; of one that is complete a new folder."""
    settings = output.settings()
    return settings[1] if settings else new_parts(output, output.earlier_fingerprint() or {})


def index_columns(path: Path) -> Iterator[pa.RecordBatch]:
    """What `indexed` reads of a file with rows of the files table."""
    with pq.ParquetFile(path) as parquet:
        present = parquet.schema_arrow.names
        columns = [name for name in (*INDEX_COLUMNS, GIVEN_DIGEST) if name in present]
        yield from parquet.iter_batches(columns=columns)


def indexed(batch: pa.RecordBatch, part: int) -> Iterator[tuple[str, str, CommittedFile]]:
    """The rows of a files table: the name of the file, its status, and what a later run needs."""

    def values(name: str) -> list[Any]:
        absent = name not in batch.schema.names
        return [None] * len(batch) if absent else batch.column(name).to_pylist()

    modified_us = batch.column("modified").cast(pa.int64()).to_pylist()
    columns = ("file", "size_bytes", "status", "reason", "message", GIVEN_DIGEST, MAX_HOURS)
    for modified, name, size, status, reason, message, digest, limit_h in zip(
        modified_us, *map(values, columns), strict=True
    ):
        version = size, modified or 0, digest or ""
        if status != FAILED:
            yield name, status, CommittedFile(*version, failed=False, part=part, exceeded_h=None)
            continue
        exceeded_h = (limit_h or UNKNOWN_LIMIT) if reason == Reason.TOO_LONG else None
        why = sys.intern(reason or ""), hash(message)
        yield name, status, CommittedFile(*version, True, part, exceeded_h, *why)


def beats(new: CommittedFile, old: CommittedFile) -> bool:
    """Whether a row replaces one that was committed before it.

    Of another version it does. Of the same version a good row replaces a failed one; a failure
    replaces another one, but of a recording that was too long only one under a higher
    `--max-hours` does.
    """
    if new.version != old.version or (old.failed and not new.failed):
        return True
    if not (old.failed and new.failed):
        return False
    if old.exceeded_h is None or new.exceeded_h is None:
        return (new.reason, new.message_hash) != (old.reason, old.message_hash)
    return new.exceeded_h > old.exceeded_h


class Cursor:
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
