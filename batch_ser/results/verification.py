"""Recount everything from the tables alone: both closing equations, and that the rows agree."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch_ser.errors import MismatchError
from batch_ser.results.final_tables import Counts
from batch_ser.results.layout import Output, describe_files
from batch_ser.results.parts import Part, Winner, merged, winners
from batch_ser.results.tables import EMBEDDING, FAILED, OK, has_embeddings

AT_ONCE = 8_192  # rows
MOST_FAULTS = 20  # more of them say nothing new
PARTS_OF_DECODED = ("scored_s", "not_speech_s", "too_short_s", "not_asked_s")


@dataclass
class Verdict:
    """What `verify` found."""

    counts: Counts = field(default_factory=Counts)
    faults: list[str] = field(default_factory=list)
    faults_in_all: int = 0

    def fault(self, message: str) -> None:
        self.faults_in_all += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append(message)


def verify(output: Output) -> Verdict:
    """Check a complete output.

    Raises:
        MismatchError: there is none, or its job has not finished.
    """
    record = output.run_record()
    if record is None:
        state = "not complete; run the same command again" if output.work.exists() else "no output"
        raise MismatchError(f"{output.out}: {state}")
    verdict = Verdict()
    _verify_objects(output, record, verdict)
    files, segments = output.table_files("files"), output.table_files("segments")
    if not files or not segments:
        return verdict
    parts = [Part(tuple(segments), tuple(files), 0.0)]
    wins = winners(parts)
    if sum(pq.read_metadata(path).num_rows for path in files) != len(wins):
        verdict.fault("files table: a file has more than one row")
    metadata = pq.read_schema(segments[0]).metadata
    labels = [f"p_{label}" for label in json.loads(metadata[b"labels"])]
    for row, rows in _pairs(parts, wins, verdict):
        _verify_file(row, rows, labels, verdict)
    _verify_as_scored(output, verdict)
    if verdict.counts.as_record() != record["counts"] and not _close(verdict, record):
        verdict.fault("run.json: its counts are not those of the tables")
    return verdict


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
    """Rows of batches, however they are cut."""
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _verify_objects(output: Output, record: dict[str, Any], verdict: Verdict) -> None:
    below = output.out.parent if output.single_file else output.out
    for name, expected in record["tables"].items():
        if not (below / name).exists():
            verdict.fault(f"{name}: missing")
        elif describe_files([below / name], below)[name] != expected:
            verdict.fault(f"{name}: not the file that the job wrote (size or SHA-256 differ)")


def _close(verdict: Verdict, record: dict[str, Any]) -> bool:
    """Whether counts agree but for the rounding of sums of seconds."""
    mine, theirs = verdict.counts.as_record(), record["counts"]
    seconds = zip(mine.pop("seconds").values(), theirs["seconds"].values(), strict=True)
    same = mine == {key: value for key, value in theirs.items() if key != "seconds"}
    return same and all(np.isclose(a, b, rtol=1e-9, atol=1e-6) for a, b in seconds)


def _pairs(
    parts: list[Part], wins: dict[str, Winner], verdict: Verdict
) -> Iterator[tuple[dict[str, Any], pa.Table | None]]:
    """Each file's row with its segments, and segments that belong to no file."""
    segments = merged(parts, winners_of_segments(parts, wins, verdict), "segments")
    waiting = next(segments, None)
    for row in merged(parts, wins, "files"):
        verdict.counts.add_files(row)
        record = row.to_pylist()[0]
        mine = None
        if waiting is not None and waiting["file"][0].as_py() == record["file"]:
            mine, waiting = waiting, next(segments, None)
            verdict.counts.add_segments(mine)
        yield record, mine


def winners_of_segments(
    parts: list[Part], wins: dict[str, Winner], verdict: Verdict
) -> dict[str, Winner]:
    """Files that have segments; strangers and rows out of order are faults."""
    found: dict[str, Winner] = {}
    before = ""
    for name, _ in parts[0].rows("segments"):
        if name not in wins:
            verdict.fault(f"{name}: has segments, but no row in the files table")
        elif name <= before:
            verdict.fault(f"{name}: its rows do not stand together in order")
        else:
            found[name] = wins[name]
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
    whole = len(numbers) == len(embeddings) * embeddings.type.list_size
    return bool(whole and pc.all(pc.is_finite(numbers), min_count=0).as_py())


def _scored_frames(rows: pa.Table, rate_hz: int, channels: int) -> int:
    """The union of the segments of each channel; a mixture stands for every channel."""
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
