"""Recount everything from the tables alone: both closing equations, and that the rows agree."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch_ser.errors import MismatchError
from batch_ser.results.committed import CommittedParts
from batch_ser.results.counts import Counts
from batch_ser.results.layout import Output
from batch_ser.results.parts import Part
from batch_ser.results.run_record import RunRecord
from batch_ser.results.speech_faults import role_faults, speech_faults
from batch_ser.results.tables import EMBEDDING, FAILED, OK, SPEECH, has_embeddings
from batch_ser.storage import StorageError, describe

AT_ONCE = 8_192  # rows
MAX_FAULTS = 20  # that are printed
PARTS_OF_DECODED = ("scored_s", "not_speech_s", "too_short_s", "not_asked_s")


@dataclass
class Verdict:
    """What `verify` found."""

    counts: Counts = field(default_factory=Counts)
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0  # also of those that are left out of `faults`

    def fault(self, message: str) -> None:
        self.fault_count += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(message)


def verify(output: Output) -> Verdict:
    """Check a complete output.

    Raises:
        MismatchError: there is none, or its job has not finished.
    """
    record = output.run_record()
    if record is None:
        state = "not complete; run the same command again" if output.exists else "no output"
        raise MismatchError(f"{output.out}: {state}")
    verdict = Verdict()
    _verify_tables(output, record, verdict)
    try:
        _recount(output, record, verdict)
    except (pa.ArrowException, OSError) as error:
        of_storage = (isinstance(error, OSError) and error.errno) or isinstance(error, StorageError)
        if of_storage or not verdict.faults:
            raise
        verdict.fault("nothing more can be recounted: the table cannot be read")
    return verdict


def _recount(output: Output, record: RunRecord, verdict: Verdict) -> None:
    files, segments = output.table_files("files"), output.table_files("segments")
    if not files or not segments:
        return
    committed = CommittedParts([Part.published(output)])
    if sum(pq.read_metadata(path).num_rows for path in files) != len(committed.files):
        verdict.fault("files table: a file has more than one row")
    metadata = pq.read_schema(segments[0]).metadata
    labels = [f"p_{label}" for label in json.loads(metadata[b"labels"])]
    for row, rows in _rows_of_files(committed, verdict):
        _verify_file(row, rows, labels, verdict)
        if rows is not None:
            for fault in role_faults(rows, record.fingerprint.get("score")):
                verdict.fault(f"{row['file']}: {fault}")
    if committed.parts[0].speech:
        _verify_speech(committed, verdict)
    _verify_as_scored(output, verdict)
    if not _equal_counts(verdict.counts, record.counts):
        verdict.fault("run.json: its counts are not those of the tables")


def _verify_speech(committed: CommittedParts, verdict: Verdict) -> None:
    """Talk time in the files table, against the regions of speech."""
    speech = committed.rows(SPEECH, only=_files_with(SPEECH, committed, verdict))
    for row, regions in _together(committed.rows("files"), speech):
        for fault in speech_faults(row, regions):
            verdict.fault(f"{row['file']}: {fault}")


def _verify_as_scored(output: Output, verdict: Verdict) -> None:
    """The table that adaptation starts from: the same segments, each with an embedding."""
    if output.as_scored == "segments":
        return
    final = (batch for path in output.table_files("segments") for batch in _keys(path))
    scored = (batch for path in output.table_files(output.as_scored) for batch in _keys(path))
    if any(one != other for one, other in zip_longest(_flat(final), _flat(scored))):
        verdict.fault("embeddings table: its segments are not those of the segments table")
    for path in output.table_files(output.as_scored):
        for batch in pq.ParquetFile(path).iter_batches(AT_ONCE, columns=[EMBEDDING]):
            if not _all_finite(pa.chunked_array([batch.column(0)])):
                verdict.fault("embeddings table: an embedding that is missing or not finite")


def _keys(path: Path) -> Iterator[pa.RecordBatch]:
    yield from pq.ParquetFile(path).iter_batches(AT_ONCE, columns=["file", "channel", "segment"])


def _flat(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    """Rows of batches, whatever the size of these."""
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _verify_tables(output: Output, record: RunRecord, verdict: Verdict) -> None:
    for name, expected in record.tables.items():
        if not output.folder.find(name):
            verdict.fault(f"{name}: missing")
        elif describe(output.folder.local(name)) != expected:
            verdict.fault(f"{name}: not the file that the job wrote (size or SHA-256 differ)")


def _equal_counts(found: Counts, recorded: Counts) -> bool:
    """Whether counts are equal but for the rounding of sums of seconds."""
    seconds = zip(found.seconds.values(), recorded.seconds.values(), strict=True)
    return replace(found, seconds={}) == replace(recorded, seconds={}) and all(
        np.isclose(one, other, rtol=1e-9, atol=1e-6) for one, other in seconds
    )


def _rows_of_files(
    committed: CommittedParts, verdict: Verdict
) -> Iterator[tuple[dict[str, Any], pa.Table | None]]:
    """Each file's row with its rows in the segments table."""
    segments = committed.rows("segments", only=_files_with("segments", committed, verdict))
    for row, rows in _together(_counted(committed.rows("files"), verdict), segments):
        if rows is not None:
            verdict.counts.add_segments(rows)
        yield row, rows


def _counted(files: Iterable[pa.Table], verdict: Verdict) -> Iterator[pa.Table]:
    for rows in files:
        verdict.counts.add_files(rows)
        yield rows


def _together(
    files: Iterable[pa.Table], others: Iterator[pa.Table]
) -> Iterator[tuple[dict[str, Any], pa.Table | None]]:
    """Each file's row with its rows in another table, if it has any; both by their names."""
    following = next(others, None)
    for table in files:
        row = table.to_pylist()[0]
        rows = None
        if following is not None and following["file"][0].as_py() == row["file"]:
            rows, following = following, next(others, None)
        yield row, rows


def _files_with(table: str, committed: CommittedParts, verdict: Verdict) -> set[str]:
    """Files that have rows in a table; rows of unknown files and out of order are faults."""
    found: set[str] = set()
    before = ""
    for name, _ in committed.parts[0].rows(table):
        if name not in committed.files:
            verdict.fault(f"{name}: has {table}, but no row in the files table")
        elif name <= before:
            verdict.fault(f"{name}: its rows in {table} are not together and in order")
        else:
            found.add(name)
        before = max(before, name)
    return found


def _verify_file(
    row: dict[str, Any], rows: pa.Table | None, labels: list[str], verdict: Verdict
) -> None:
    name, count = row["file"], 0 if rows is None else len(rows)
    if row["status"] == FAILED:
        if count or not row["reason"]:
            verdict.fault(f"{name}: failed, with {count} segments and reason {row['reason']}")
        return
    rate_hz = row["sample_rate_hz"]
    decoded = round(row["decoded_s"] * rate_hz)
    parts = [round(row[part] * rate_hz) for part in PARTS_OF_DECODED]
    if decoded != sum(parts):
        verdict.fault(f"{name}: {decoded} samples decoded, {sum(parts)} accounted for")
    if (row["status"] == OK) != (count > 0) or row["segments"] != count:
        verdict.fault(f"{name}: {row['status']} with {row['segments']}, found {count} segments")
    if rows is not None:
        scored = _scored_frames(rows, rate_hz, row["channels"])
        if scored != parts[0]:
            verdict.fault(f"{name}: {parts[0]} samples scored, its segments cover {scored}")
        _verify_probabilities(name, row, rows, labels, verdict)
        if has_embeddings(rows.schema) and not _all_finite(rows[EMBEDDING]):
            verdict.fault(f"{name}: an embedding that is missing or not finite")


def _all_finite(embeddings: pa.ChunkedArray) -> bool:
    numbers = pc.list_flatten(embeddings)
    complete = len(numbers) == len(embeddings) * embeddings.type.list_size
    return bool(complete and pc.all(pc.is_finite(numbers), min_count=0).as_py())


def _scored_frames(rows: pa.Table, rate_hz: int, channels: int) -> int:
    """The union of the segments of each channel; a mixture counts for every channel."""
    total, before, covered = 0, None, 0
    for number, start_s, end_s in zip(
        *(rows[name].to_pylist() for name in ("channel", "start_s", "end_s")), strict=True
    ):
        covered = covered if number == before else 0
        start, end = round(start_s * rate_hz), round(end_s * rate_hz)
        total += max(0, end - max(start, covered)) * (channels if number < 0 else 1)
        before, covered = number, max(covered, end)
    return total


def _verify_probabilities(
    name: str, row: dict[str, Any], rows: pa.Table, labels: list[str], verdict: Verdict
) -> None:
    scores = np.stack([rows[label].to_numpy() for label in labels], axis=1).astype(np.float64)
    emotions = rows["emotion"].to_pylist()
    if not np.isfinite(scores).all() or np.abs(scores.sum(1) - 1).max() > 1e-5:
        verdict.fault(f"{name}: probabilities that are not finite or do not sum to 1")
    elif [labels[best][2:] for best in scores.argmax(1)] != emotions or not np.array_equal(
        scores.max(1), rows["confidence"].to_numpy()
    ):
        verdict.fault(f"{name}: an emotion that is not the most probable label")
    weights = rows["end_s"].to_numpy() - rows["start_s"].to_numpy()
    mean = np.average(scores, axis=0, weights=weights)
    if not np.allclose(mean, [row[label] for label in labels], atol=1e-5):
        verdict.fault(f"{name}: its mean probabilities are not those of its segments")
