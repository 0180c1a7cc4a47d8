"""The tables of a sample, written and measured in a scratch folder: their sizes for each row."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow.compute as pc

from batch_ser.results import (
    EMBEDDINGS,
    SPEECH,
    CommittedParts,
    GroupSums,
    LastRun,
    Output,
    RunRecord,
    finalise,
    new_parts,
)
from jobs.commit import Committer
from jobs.driver import record_of
from jobs.job import Job
from jobs.worker import ShardResult

SEGMENTS, FILES = "segments", "files"
SOURCES = {SEGMENTS: SEGMENTS, FILES: FILES, EMBEDDINGS: SEGMENTS, SPEECH: SPEECH}  # of rows


@dataclass(frozen=True)
class TableCosts:
    """What final tables take: on their own, and for each row of segments, files and speech."""

    fixed_bytes: float
    row_bytes: dict[str, float]
    row_core_s: float  # of a row of segments or files
    parts_share: float  # bytes of committed parts for each byte of the final tables


@dataclass(frozen=True)
class _Written:
    rows: dict[str, int]
    sizes: dict[str, int]  # by table
    record_bytes: int
    parts_bytes: int
    core_s: float

    @property
    def counted(self) -> int:
        return self.rows[SEGMENTS] + self.rows[FILES]


def table_costs(job: Job, results: Sequence[ShardResult], folder: Path) -> TableCosts:
    """Write the tables of some results, and of half of their files, below a folder; compare both.

    What a table has once, or once for each of its columns, is no row's.
    """
    half = _written(job, [_half(each) for each in results], folder / "half")
    full = _written(job, results, folder / "full")
    row_bytes = dict.fromkeys(full.rows, 0.0)
    fixed_bytes: float = full.record_bytes
    for table, size in full.sizes.items():
        source = SOURCES[table]
        more = full.rows[source] - half.rows[source]
        each = max(0.0, (size - half.sizes[table]) / more) if more else 0.0
        row_bytes[source] += each
        fixed_bytes += max(0.0, size - each * full.rows[source])
    more = full.counted - half.counted
    return TableCosts(
        fixed_bytes=fixed_bytes,
        row_bytes=row_bytes,
        row_core_s=max(0.0, full.core_s - half.core_s) / more if more else 0.0,
        parts_share=full.parts_bytes / sum(full.sizes.values()),
    )


def _half(result: ShardResult) -> ShardResult:
    """The rows of every second file."""
    files = result.files.take(list(range(0, len(result.files), 2)))
    segments, speech = (
        table.filter(pc.is_in(table["file"], value_set=files["file"]))
        for table in (result.segments, result.speech)
    )
    return replace(result, segments=segments, files=files, speech=speech)


def _written(job: Job, results: Sequence[ShardResult], folder: Path) -> _Written:
    """What a driver does with results, from the first commit to the final tables."""
    folder.mkdir()
    output = Output(str(folder / "results.parquet"))
    new_parts(output, job.fingerprint)
    started = time.process_time()
    committed = CommittedParts.of(output)
    committer = Committer(committed, lambda: None)
    for result in results:
        committer.add(result)
    committer.flush()
    parts_bytes = sum(each.stat().st_size for each in folder.rglob("*.parquet"))
    record = _finalised(job, output, committed)
    core_s = time.process_time() - started
    sizes = {
        table: record.tables[output.table(table)]["size_bytes"]
        for table in SOURCES
        if output.table(table) in record.tables
    }
    rows = {
        SEGMENTS: sum(len(each.segments) for each in results),
        FILES: sum(len(each.files) for each in results),
        SPEECH: sum(len(each.speech) for each in results),
    }
    record_bytes = (folder / output.run_json).stat().st_size
    return _Written(rows, sizes, record_bytes, parts_bytes, core_s)


def _finalised(job: Job, output: Output, committed: CommittedParts) -> RunRecord:
    second_pass = job.second_pass
    if second_pass:
        second_pass = replace(second_pass, sums=GroupSums(), values=GroupSums())
    record = record_of(job, LastRun("", 0.0, 0.0, {}, 0), committed)
    return finalise(output, committed, job.schemas, record, second_pass)
