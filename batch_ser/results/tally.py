"""What is committed, counted from files tables alone while a job may be at work.

It reads few columns and no segments, and compares no digests: what it counts can be less in the
end, if a part is damaged. Parts do not change, so that each is read once however often they are
counted.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch_ser.results.committed import INDEX_COLUMNS, CommittedFile, beats, indexed
from batch_ser.results.layout import Output
from batch_ser.results.parts import FILES_ENDING, SEGMENTS_ENDING, committed_at
from batch_ser.results.tables import FAILED, FILE_COLUMNS, GIVEN_DIGEST, PARTIAL
from batch_ser.storage import StoredFile, in_order

AT_ONCE = 16  # files that are read at the same time: an object store answers slowly
SCHEMA = pa.schema([each for each in FILE_COLUMNS if each[0] in (*INDEX_COLUMNS, "duration_s")])
SCHEMA = SCHEMA.append(pa.field(GIVEN_DIGEST, pa.string()))


@dataclass
class Committed:
    """Files by status, failed ones by reason, and seconds of recordings; each file once.

    A recording that is in progress counts as `partial`, beside the row of an earlier version of it.
    """

    files: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    audio_s: float = 0.0
    in_progress_s: float = 0.0  # what is committed of recordings that are in progress
    latest: float = 0.0  # when the last part was committed, in seconds since 1970; 0: there is none
    in_parts: int = 0  # rows of files in parts, which are not published


class _Read(NamedTuple):
    committed: float  # seconds since 1970; 0: published
    rows: pa.Table


class Tally:
    """Counts what is committed to an output, again and again."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._read: dict[tuple[str, str], _Read | None] = {}  # by name and version; None: damaged

    def count(self) -> Committed:
        """What the published tables and the parts hold now; of each file the row that counts.

        Raises:
            FileNotFoundError: files were removed meanwhile, as when parts become tables.
            MismatchError: `run.json` or the job's settings are damaged.
        """
        published, parts = self._published(), self._parts()
        wanted = [*((each, True) for each in published), *((each, False) for each in parts)]
        keys = [(each.name, each.version) for each, _ in wanted]
        new = [each for each, key in zip(wanted, keys, strict=True) if key not in self._read]
        calls: Iterator[_Read | Callable[[], _Read | None] | None]
        calls = (partial(self._read_file, *each) for each in new)
        found: list[_Read | None] = list(in_order(calls, AT_ONCE))
        new_keys = [(each.name, each.version) for each, _ in new]
        self._read |= dict(zip(new_keys, found, strict=True))
        self._read = {key: self._read[key] for key in keys}  # forget what is no longer there
        return _counted([each for each in self._read.values() if each])

    def _published(self) -> list[StoredFile]:
        output = self._output
        found = [
            output.folder.find(each) for each in output.listed("files", output.complete_record())
        ]
        if any(each is None for each in found):
            raise FileNotFoundError(f"{output.out}: a table is missing")
        return [each for each in found if each]

    def _parts(self) -> list[StoredFile]:
        """The files tables of parts whose segments are there, too."""
        settings = self._output.settings()
        entries = self._output.folder.entries(settings[1]) if settings else ()
        found = {each.name: each for each in entries}
        return [
            each
            for name, each in found.items()
            if name.endswith(FILES_ENDING)
            and name.removesuffix(FILES_ENDING) + SEGMENTS_ENDING in found
        ]

    def _read_file(self, stored: StoredFile, published: bool) -> _Read | None:
        """The columns that count; None of a file that is damaged, as after a loss of power."""
        path = self._output.folder.local(stored.name)
        try:
            with pq.ParquetFile(path) as parquet:
                present = [each for each in SCHEMA.names if each in parquet.schema_arrow.names]
                committed = 0.0 if published else committed_at(parquet.schema_arrow)
                rows = parquet.read(columns=present, use_threads=False)
        except FileNotFoundError:
            raise
        except (pa.ArrowInvalid, OSError, KeyError, ValueError):  # OSError: pyarrow's, too
            return None
        rows = rows.replace_schema_metadata(None)
        for each in SCHEMA:
            if each.name not in present:
                rows = rows.append_column(each, pa.nulls(len(rows), each.type))
        with contextlib.suppress(pa.ArrowInvalid):
            return _Read(committed, rows.select(SCHEMA.names).cast(SCHEMA))
        return None


def _counted(read: list[_Read]) -> Committed:
    found = Committed(latest=max((each.committed for each in read), default=0.0))
    found.in_parts = sum(_done_rows(each.rows) for each in read if each.committed)
    tables = [each.rows for each in sorted(read, key=lambda each: each.committed)]
    if not tables:
        return found
    rows = pa.concat_tables(tables)
    names = pc.value_counts(rows["file"])
    if len(names) == len(rows) == _done_rows(rows):  # as in most jobs
        _add(found, rows)
        return found
    # what follows makes pyarrow load pandas, 0.3 s
    several = names.field("values").filter(pc.greater(names.field("counts"), 1))
    partial_ones = rows["file"].filter(pc.equal(rows["status"], PARTIAL)).combine_chunks()
    by_row = pc.is_in(rows["file"], pa.concat_arrays([several, partial_ones]))
    _add(found, rows.filter(pc.invert(by_row)))
    _add_by_row(found, rows.filter(by_row))
    return found


def _done_rows(rows: pa.Table) -> int:
    """How many rows are of files that are done, whatever became of them."""
    return int(pc.sum(pc.not_equal(rows["status"], PARTIAL)).as_py() or 0)


def _add(found: Committed, rows: pa.Table) -> None:
    """Count rows of files that have one row each, and are done."""
    for column, counter in (("status", found.files), ("reason", found.reasons)):
        for each in pc.value_counts(rows[column]).to_pylist():
            if each["values"] is not None:
                counter[each["values"]] += each["counts"]
    found.audio_s += pc.sum(rows["duration_s"]).as_py() or 0.0


def _add_by_row(found: Committed, rows: pa.Table) -> None:
    """Count rows, in the order of their commits, of which several can be of one file."""
    files: dict[str, tuple[CommittedFile, tuple[str, str, float]]] = {}
    in_progress_s: dict[str, float] = {}
    for batch in rows.to_batches():
        statuses, seconds = (batch.column(name).to_pylist() for name in ("status", "duration_s"))
        together = zip(indexed(batch, 0), statuses, seconds, strict=True)
        for (name, _, row), status, duration_s in together:
            if status == PARTIAL:
                in_progress_s[name] = duration_s or 0.0  # each states all that is done
                continue
            in_progress_s.pop(name, None)
            if name not in files or beats(row, files[name][0]):
                files[name] = row, (status, row.reason, duration_s or 0.0)
    for status, reason, duration_s in (counted for _, counted in files.values()):
        found.files[status] += 1
        found.reasons[reason] += status == FAILED
        found.audio_s += duration_s
    found.files[PARTIAL] += len(in_progress_s)
    found.in_progress_s += sum(in_progress_s.values())
