"""What `batch-ser status` counts, against what a job itself reads of the same parts."""

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_ser.results import (
    EMPTY,
    FAILED,
    OK,
    PARTIAL,
    Committed,
    CommittedParts,
    Output,
    TableSchemas,
    Tally,
    file_row,
    new_parts,
    to_table,
)

SCHEMAS = TableSchemas(("calm", "angry"))
STATUSES = st.sampled_from([OK, EMPTY, FAILED, PARTIAL])
COMMITS = st.lists(st.dictionaries(st.sampled_from("abcd"), st.tuples(STATUSES, st.integers(1, 2))))


def commit(committed: CommittedParts, rows: list[dict[str, Any]]) -> None:
    committed.commit(to_table([], SCHEMAS.segments), to_table(rows, SCHEMAS.files))


def row(file: str, status: str, version: int = 1, seconds: float = 60.0) -> dict[str, Any]:
    failed = {"reason": "corrupt", "message": "damaged"} if status == FAILED else {}
    return file_row(file, 1000, version, status, duration_s=None if failed else seconds, **failed)


def counted(folder: Path, commits: list[list[dict[str, Any]]]) -> tuple[Committed, CommittedParts]:
    output = Output(str(folder / "results.parquet"))
    new_parts(output, {})
    committed = CommittedParts.of(output)
    for rows in commits:
        commit(committed, rows)
    return Tally(output).count(), CommittedParts.of(output)


@given(COMMITS)
@settings(max_examples=30)
def test_counts_are_those_of_the_job(commits: list[dict[str, tuple[str, int]]]) -> None:
    rows = [[row(file, *each) for file, each in files.items()] for files in commits]
    with tempfile.TemporaryDirectory() as folder:
        found, job = counted(Path(folder), rows)
    failed = sum(each.failed for each in job.files.values())
    assert found.files[FAILED] == found.reasons["corrupt"] == failed
    assert found.files[OK] + found.files[EMPTY] == len(job.files) - failed
    last = {file: status for files in commits for file, (status, _) in files.items()}
    assert found.files[PARTIAL] == Counter(last.values())[PARTIAL]
    assert found.in_parts == sum(each["status"] != PARTIAL for one in rows for each in one)


def test_a_recording_in_progress(tmp_path: Path) -> None:
    """Its seconds are not done, and do not hide the row of an earlier version."""
    before = [row("a", OK, 1, 3600.0), row("b", FAILED)]
    parts = [[row(file, PARTIAL, 2, seconds)] for seconds in (600.0, 1200.0) for file in "abc"]
    found, _ = counted(tmp_path, [before, *parts])
    assert found.files == {OK: 1, FAILED: 1, PARTIAL: 3}
    assert found.audio_s == 3600.0
    assert found.in_progress_s == 3 * 1200.0
    assert found.in_parts == 2


def test_a_recording_that_is_done_is_no_longer_in_progress(tmp_path: Path) -> None:
    found, _ = counted(tmp_path, [[row("a", PARTIAL)], [row("a", OK, 1, 900.0)]])
    assert found.files[OK] == 1
    assert found.files[PARTIAL] == 0
    assert (found.audio_s, found.in_progress_s, found.in_parts) == (900.0, 0.0, 1)


@pytest.mark.parametrize("status", [OK, EMPTY, FAILED])
def test_rows_of_one_file_each(status: str, tmp_path: Path) -> None:
    found, _ = counted(tmp_path, [[row("a", status)], [row("b", status)]])
    assert found.files == {status: 2}
    assert found.in_parts == 2
