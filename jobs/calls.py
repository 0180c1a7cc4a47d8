"""`batch-ser calls`: the tables of a complete output to one row a call, and to groups of calls.

The tables are read once, file by file, after a look at who speaks: memory does not grow with them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from batch_ser.calls import (
    CallGroups,
    CallTable,
    Channels,
    EmotionScale,
    SpreadsheetWriter,
    in_order,
    party_of,
)
from batch_ser.errors import MismatchError, UsageError
from batch_ser.inputs import parse_roles
from batch_ser.results import (
    FAILED,
    MADE_FROM,
    NAME_PATTERN,
    SPEECH,
    Cursor,
    NamePattern,
    Output,
    Part,
    RunRecord,
    TableSchemas,
    check_derived,
    digest_of,
    recover,
)
from jobs.heartbeat import Heartbeat
from jobs.recovery import check_exists, storage_errors
from train.progress import counted

ROWS_AT_ONCE = 1_024
COMPRESSION = "zstd"
BY, POSITIVE, NEGATIVE = "by", "positive", "negative"  # in the metadata: what was asked for
NO_SPEECH = (
    "talk times are null: the output has no speech table; a run with --segment speech or with "
    "--roles makes one"
)


@dataclass(frozen=True)
class CallsReport:
    """What was written, and what could not be known."""

    calls: int
    groups: int
    files: tuple[str, ...]  # places
    notes: tuple[str, ...] = ()

    def as_text(self) -> str:
        """A line for the tables, one for each file, and one for each note."""
        sizes = f"calls: {self.calls:,}, groups: {self.groups:,}"
        return "\n".join([sizes, *(f"  {each}" for each in self.files), *self.notes])


def make_calls(
    out: str,
    by: Sequence[str] = (),
    positive: str | None = None,
    negative: str | None = None,
) -> CallsReport:
    """Write the tables of calls and of their groups beside the tables of a complete output.

    Raises:
        UsageError: no such column or label, or a column whose mean was subtracted.
        MismatchError: there is no complete output, or a file with the name of a table is not ours.
        AlreadyRunning: a driver is at work on this output.
    """
    output = Output(out)
    check_exists(output)
    with storage_errors(output), Heartbeat(output) as heartbeat:
        recover(output)
        record = output.run_record()
        if record is None:
            raise MismatchError(f"{out}: not complete; give its run again, and then calls")
        output.check_tables()
        check_derived(output)
        source = CallSource.of(output, record, positive, negative)
        groups = CallGroups(source.checked(by), source.table.parties)
        asked = {BY: json.dumps(list(dict.fromkeys(by)))}
        source = replace(source, metadata={**source.metadata, **asked})
        try:
            made = output.folder.new_tables(below := f"{output.work}/calls-{uuid4().hex[:8]}")
            calls = _write(source, made, groups)
            output.folder.put_tables(made, below, output.derived_files)
            heartbeat.check()
            _publish(output, below)
        except BaseException:
            with suppress(OSError):
                recover(output)  # removes what is not whole
            raise
    files = tuple(map(output.folder.place, output.derived_files))
    notes = () if source.has_speech else (NO_SPEECH,)
    return CallsReport(calls, len(groups), files, notes)


@dataclass(frozen=True)
class CallSource:
    """A complete output, and the table of calls that is made of it."""

    output: Output
    record: RunRecord
    metadata: Mapping[str, str]
    table: CallTable

    @classmethod
    def of(
        cls, output: Output, record: RunRecord, positive: str | None, negative: str | None
    ) -> "CallSource":
        schema = pq.read_schema(output.table_files("segments")[0])
        if missing := {"role", "crosstalk"}.difference(schema.names):
            raise MismatchError(
                f"{output.out}: found tables of an earlier version, without the column "
                f"{min(missing)}; give its run again with --restart"
            )
        schemas = TableSchemas.of(schema, apart=False, shown=True, given=False, detects=False)
        settings = record.fingerprint
        channels = Channels(
            settings["channels"],
            parse_roles(settings.get("roles", "")),
            bool(settings.get("roles_column")),
        )
        scale = EmotionScale.of(schemas.labels, positive, negative)
        table = CallTable(
            scale,
            _parties(output, channels),
            schemas.manifest_columns,
            channels,
            settings.get("score"),
            NamePattern.of(settings.get(NAME_PATTERN)),
        )
        made_of = {
            MADE_FROM: digest_of(output.complete_record()),
            POSITIVE: json.dumps(scale.positive),
            NEGATIVE: json.dumps(scale.negative),
        }
        return cls(output, record, dict(schemas.metadata) | made_of, table)

    @property
    def has_speech(self) -> bool:
        return bool(self.output.listed(SPEECH, self.output.complete_record()))

    def checked(self, by: Sequence[str]) -> tuple[str, ...]:
        """The names of the columns of `--by` in the table of calls.

        Raises:
            UsageError: there is no such column, or each of its values has an offset of its own.
        """
        named = self.table.carried_as
        for column in by:
            if column not in named:
                known = ", ".join(named) or "none: there is no manifest and no --name-pattern"
                raise UsageError(f"--by {column}: expected columns of the output ({known})")
            if column == self.record.fingerprint.get("adapt"):
                raise UsageError(
                    f"--by {column}: found an output of --adapt {column}, which subtracts the mean "
                    f"of each {column}, so that their scores do not differ; expected another "
                    "column, or `batch-ser adapt` with --adapt archive first"
                )
        return tuple(named[column] for column in dict.fromkeys(by))

    def recordings(self) -> Iterator[tuple[dict[str, Any], pa.Table | None, pa.Table | None]]:
        """Each row of the files table with its rows in the segments and the speech table."""
        part = Part.published(self.output)
        segments, speech = (Cursor(part.rows(table)) for table in ("segments", SPEECH))
        for name, rows in part.rows("files"):
            yield rows.to_pylist()[0], segments.take(name), speech.take(name)

    def schema(self, schema: pa.Schema) -> pa.Schema:
        return schema.with_metadata(dict(self.metadata))


def _parties(output: Output, channels: Channels) -> tuple[str, ...]:
    """The parties of all recordings, in the order of their columns."""
    found: set[str] = set()
    for path in (*output.table_files("segments"), *output.table_files(SPEECH)):
        for batch in pq.ParquetFile(path).iter_batches(columns=["channel", "role"]):
            roles = batch.column(1).cast(pa.string())
            pairs = pa.table({"channel": batch.column(0), "role": roles})
            for each in pairs.group_by(["channel", "role"]).aggregate([]).to_pylist():
                found.add(party_of(each["channel"], each["role"]))
    for path in output.table_files("files"):
        for batch in pq.ParquetFile(path).iter_batches(columns=["channels", "note", "speech_s"]):
            for row in batch.to_pylist():
                found.update(channels.expected(row).values())
    return in_order(found)


def _write(source: CallSource, made: Path, groups: CallGroups) -> int:
    """Write the tables below a folder; returns the number of calls."""
    parquet, csv, grouped = (made / each for each in source.output.derived_files)
    for path in (parquet, csv, grouped):
        path.parent.mkdir(exist_ok=True)
    schema, count = source.schema(source.table.schema), 0
    rows: list[dict[str, Any]] = []
    with (
        pq.ParquetWriter(parquet, schema, compression=COMPRESSION) as writer,
        SpreadsheetWriter(csv, schema.names) as spreadsheet,
    ):
        recordings = source.recordings()
        for file, segments, speech in counted(recordings, "calls", source.record.counts.files_in):
            rows.append(source.table.row(file, segments, speech))
            spreadsheet.write(rows[-1])
            if file["status"] != FAILED:
                groups.add(rows[-1], file["duration_s"])
            count += 1
            if len(rows) == ROWS_AT_ONCE:
                writer.write_table(pa.Table.from_pylist(rows, schema=schema))
                rows.clear()
        writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    table = groups.table()
    pq.write_table(table.cast(source.schema(table.schema)), grouped, compression=COMPRESSION)
    return count


def _publish(output: Output, below: str) -> None:
    """Move the tables to their names; a CSV last, whose owner is the Parquet file."""
    names = output.derived_files
    for name in sorted(names, reverse=True):
        output.folder.move(f"{below}/{name}", name)
    output.folder.settle({name.rpartition("/")[0] for name in names} | {""})
