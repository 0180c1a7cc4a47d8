"""Every file once: stopped jobs resume, complete ones do nothing, other settings are refused."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from conftest import PROGRAM, Runner
from interruptions import base_of
from results import SCORES, assert_holds, assert_same_tables, score, tables

from batch_ser.audio.recording import Reading
from batch_ser.audio.samples import Samples
from batch_ser.errors import AlreadyRunning, FileError, MismatchError, Reason
from batch_ser.inputs import InputFile
from batch_ser.results import CommittedFile, Output, new_parts, parts
from jobs import RunConfig, run
from jobs.driver import needs_work
from jobs.heartbeat import Heartbeat
from jobs.processes import started


def started_job(tmp_path: Path, *command: object) -> subprocess.Popen[bytes]:
    """A job that has committed its first files, and not yet the last."""
    job = subprocess.Popen(
        [PROGRAM, *map(str, command)],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while not list(tmp_path.glob("out.work/parts-*/*.files.parquet")):
        assert job.poll() is None, "it ended before it could be stopped"
        time.sleep(0.005)
    return job


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "engine"),
    [
        (signal.SIGTERM, "inline"),
        pytest.param(signal.SIGKILL, "inline", marks=pytest.mark.exhaustive),
        pytest.param(signal.SIGINT, "inline", marks=pytest.mark.exhaustive),
        pytest.param(signal.SIGKILL, "ray", marks=pytest.mark.ray),
        pytest.param(signal.SIGTERM, "ray", marks=[pytest.mark.ray, pytest.mark.exhaustive]),
        pytest.param(signal.SIGHUP, "ray", marks=[pytest.mark.ray, pytest.mark.exhaustive]),
    ],
)
def test_a_stopped_job_resumes(
    long_archive: Path,
    long_calm: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    program: Runner,
    engine: str,
    number: signal.Signals,
) -> None:
    """Stopped after the first commit: the same command ends with the tables of a run in one go."""
    command = ["run", "--input", long_archive, "--out", "out.parquet", "--model", checkpoint_path]
    command += ["--engine", engine, "--workers", 1]
    job = started_job(tmp_path, *command)
    if number == signal.SIGHUP:  # of a terminal: a shell and the kernel each send one to all
        os.killpg(job.pid, number)
        time.sleep(0.5)
        os.killpg(job.pid, number)
    else:
        job.send_signal(number)
    _, stderr = job.communicate(timeout=300)
    assert not (tmp_path / "out.run.json").exists()
    assert any(len(pq.read_table(p)) for p in tmp_path.glob("out.work/parts-*/*.files.*"))
    if number != signal.SIGKILL:
        like = signal.SIGTERM if number == signal.SIGHUP else number
        assert job.returncode == 128 + like, stderr
        assert b"the same command goes on from here" in stderr
        assert not (tmp_path / "out.work" / "driver.json").exists()
    done = program(*command)
    assert done.returncode == 0, done.stderr
    assert_same_tables(tmp_path / "out.parquet", long_calm)
    assert_holds(tmp_path / "out.parquet")


def test_a_complete_job_has_nothing_to_do(
    archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out.parquet"
    shutil.copytree(archive, folder)
    score(folder, out, checkpoint_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out*")}
    assert score(folder, out, checkpoint_path).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("out*")} == before


def test_new_and_changed_files_are_added(
    calm: Path, archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out.parquet"
    shutil.copytree(archive, folder)
    aside = tmp_path / "aside.wav"
    shutil.move(folder / "day0" / "call00.wav", aside)
    changed = folder / "day0" / "call12.wav"
    recording = changed.read_bytes()
    changed.write_bytes(b"not yet there")
    assert score(folder, out, checkpoint_path).exit_code == 3
    changed.write_bytes(recording)
    os.utime(changed, ns=(time.time_ns(), time.time_ns()))
    shutil.move(aside, folder / "day0" / "call00.wav")
    assert score(folder, out, checkpoint_path).exit_code == 0
    (segments, files), (calm_segments, calm_files) = tables(out), tables(calm)
    pd.testing.assert_frame_equal(segments, calm_segments, atol=1e-4, rtol=0)
    same = calm_files.columns.drop("modified")
    pd.testing.assert_frame_equal(files[same], calm_files[same], atol=1e-4, rtol=0)
    assert_holds(out)


def test_an_older_version_replaces_a_newer_one(
    archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """A file restored from a backup keeps its old time: it is another version, and scored once."""
    folder, out = tmp_path / "in", tmp_path / "out.parquet"
    shutil.copytree(archive, folder)
    score(folder, out, checkpoint_path)
    shutil.copy(folder / "day0" / "call18.wav", folder / "day0" / "call12.wav")
    os.utime(folder / "day0" / "call12.wav", ns=(0, 10**18))
    score(folder, out, checkpoint_path)
    files = tables(out)[1].set_index("file")
    for column in ("duration_s", "segments", *SCORES):
        put_back, source = files.loc[["day0/call12.wav", "day0/call18.wav"], column]
        assert put_back == pytest.approx(source, abs=1e-4)
    before = out.stat().st_mtime_ns
    score(folder, out, checkpoint_path)
    assert out.stat().st_mtime_ns == before
    assert_holds(out)


def test_a_file_that_is_gone_keeps_its_rows(
    archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    shutil.copytree(archive, tmp_path / "in")
    listed, out = tmp_path / "in" / "list.csv", tmp_path / "out.parquet"
    listed.write_text("file\nday0/call12.wav\nday0/call18.wav\n")
    score(listed, out, checkpoint_path)
    (tmp_path / "in" / "day0" / "call12.wav").unlink()
    before = out.stat().st_mtime_ns
    assert score(listed, out, checkpoint_path).exit_code == 0
    assert out.stat().st_mtime_ns == before


def test_a_raised_limit_is_for_files_that_were_too_long(
    checkpoint_path: Path, tmp_path: Path, speech: Samples
) -> None:
    """They alone are done again, only under a higher limit; the new row replaces the old one."""
    (tmp_path / "in").mkdir()
    out = tmp_path / "out.parquet"
    for name, length_s in (("short", 3), ("longer", 8), ("longest", 24)):
        soundfile.write(tmp_path / "in" / f"{name}.wav", speech[: length_s * 16_000], 16_000)
    (tmp_path / "in" / "broken.wav").write_bytes(b"")

    def run_again(max_s: float, written: bool) -> dict[str, str]:
        before = out.stat().st_mtime_ns if out.exists() else 0
        score(tmp_path / "in", out, checkpoint_path, reading=Reading(max_hours=max_s / 3600))
        assert (out.stat().st_mtime_ns != before) is written
        assert_holds(out)
        files = tables(out)[1].set_index("file")
        assert f"{max_s / 3600:g} hours" in files["message"]["longest.wav"] or not written
        return files["reason"].dropna().to_dict()

    failed = {"broken.wav": "no_audio", "longest.wav": "too_long"}
    both = failed | {"longer.wav": "too_long"}
    assert run_again(5.0, written=True) == both
    assert run_again(5.0, written=False) == both
    assert run_again(4.0, written=False) == both
    assert run_again(12.3456789, written=True) == failed
    assert run_again(12.3456789, written=False) == failed
    assert run_again(5.0, written=False) == failed
    score(tmp_path / "in", out, checkpoint_path)
    score(tmp_path / "in", tmp_path / "once.parquet", checkpoint_path)
    assert_same_tables(out, tmp_path / "once.parquet")


def test_a_raised_limit_holds_for_a_job_that_was_not_complete(
    checkpoint_path: Path, tmp_path: Path, speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of its failed files is in the committed part."""
    (tmp_path / "in").mkdir()
    soundfile.write(tmp_path / "in" / "a.wav", speech[: 8 * 16_000], 16_000)
    out = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        patch.setattr("jobs.driver.finalise", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            score(tmp_path / "in", out, checkpoint_path, reading=Reading(max_hours=0.001))
    assert not out.exists()
    assert score(tmp_path / "in", out, checkpoint_path).exit_code == 0
    assert tables(out)[1]["status"].tolist() == ["ok"]


def test_a_limit_that_is_not_known_was_lower(
    checkpoint_path: Path, tmp_path: Path, speech: Samples
) -> None:
    """In a files table from before the column `max_hours`: the file is done again, once."""
    soundfile.write(tmp_path / "a.wav", speech[: 8 * 16_000], 16_000)
    out, reading = tmp_path / "out.parquet", Reading(max_hours=0.001)
    score(tmp_path / "a.wav", out, checkpoint_path, reading=reading)
    path = out.with_suffix(".files.parquet")
    assert pq.read_table(path)["max_hours"].to_pylist() == [0.001]
    pq.write_table(pq.read_table(path).drop_columns("max_hours"), path)
    record = json.loads(out.with_suffix(".run.json").read_text())
    record["tables"][path.name]["size_bytes"] = path.stat().st_size
    out.with_suffix(".run.json").write_text(json.dumps(record))
    for _ in range(2):
        score(tmp_path / "a.wav", out, checkpoint_path, reading=reading)
        assert pq.read_table(path)["max_hours"].to_pylist() == [0.001]
        before, modified_ns = path.read_bytes(), path.stat().st_mtime_ns
    score(tmp_path / "a.wav", out, checkpoint_path, reading=reading)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, modified_ns)
    assert_holds(out)


@pytest.mark.parametrize(
    ("previous", "error", "expected"),
    [
        (None, None, True),
        ({}, None, False),
        ({"failed": True}, None, False),
        ({"failed": True, "exceeded_h": 4.0}, None, True),
        ({"failed": True, "exceeded_h": 5.0}, None, False),
        ({"modified_us": 1}, None, True),
        ({"given_digest": "0"}, None, True),
        ({"modified_us": 1}, "not_found", False),
        ({"modified_us": 1, "failed": True}, "not_found", True),
        ({"modified_us": 1, "given_digest": "0"}, "not_found", True),
    ],
)
def test_which_files_need_work(
    previous: dict[str, Any] | None, error: str | None, expected: bool
) -> None:
    """Under a limit of five hours, given the row of the file."""
    row = CommittedFile(7, 9, "", failed=False, part=0, exceeded_h=None)
    found = None if previous is None else row._replace(**previous)
    problem = FileError(Reason(error), "") if error else None
    file = InputFile("a.wav", "/a.wav", 7, 9, error=problem)
    assert needs_work(file, found, max_hours=5.0) is expected


def test_every_part_is_verified_once(
    archive: Path, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an object store a part is downloaded to be verified."""
    with monkeypatch.context() as patch:
        patch.setattr("jobs.driver.finalise", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            score(archive, tmp_path / "out.parquet", checkpoint_path, limit=4)
    digest = Mock(side_effect=parts.describe)
    monkeypatch.setattr(parts, "describe", digest)
    score(archive, tmp_path / "out.parquet", checkpoint_path, limit=6)
    assert len(digest.mock_calls) == len({str(call.args[0]) for call in digest.mock_calls}) > 0
    assert_holds(tmp_path / "out.parquet")


def test_a_lost_table_is_noticed(archive: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    score(archive, out, checkpoint_path, limit=3)
    out.unlink()
    with pytest.raises(MismatchError, match="is missing or not the table"):
        score(archive, out, checkpoint_path)
    score(archive, out, checkpoint_path, restart=True)
    assert_holds(out)


@pytest.mark.parametrize("content", ["{", "[]", '{"complete": false}', '{"tables": 3}'])
@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_a_damaged_record_is_refused_and_restarted(
    content: str, name: str, archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / name
    score(archive, out, checkpoint_path, limit=2)
    record = Output(str(out)).run_json
    (base_of(Output(str(out))) / record).write_text(content)
    with pytest.raises(MismatchError, match="--restart begins again"):
        score(archive, out, checkpoint_path, limit=2)
    score(archive, out, checkpoint_path, limit=2, restart=True)
    assert_holds(out)


def test_a_part_that_is_cut_off_does_not_count(
    calm: Path, archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """One that a machine left which lost power between two runs of the same command."""
    out = tmp_path / "out.parquet"
    score(archive, out, checkpoint_path)
    parts = tmp_path / new_parts(Output(str(out)), {})
    parts.mkdir(parents=True)
    (parts / "1.segments.parquet").write_bytes(b"")
    (parts / "1.files.parquet").write_bytes(b"PAR1")
    score(archive, out, checkpoint_path)
    assert_same_tables(out, calm)


def test_other_settings_are_refused(archive: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    score(archive, out, checkpoint_path, limit=2)
    for change, message in (
        ({"segment": {"max_s": 6.0}}, "segment.max_s was 8.0, is 6.0"),
        ({"channels": "mix"}, "channels was split, is mix"),
    ):
        with pytest.raises(MismatchError, match=message):
            score(archive, out, checkpoint_path, **change)
    with pytest.raises(MismatchError, match="input was"):
        score(archive / "day0", out, checkpoint_path)
    with pytest.raises(MismatchError, match="checkpoint was"):
        run(RunConfig((str(archive),), str(out), "accurate", engine="inline"))
    again = score(archive, out, checkpoint_path, channels="mix", restart=True)
    assert again.record.counts.files_in == 20
    assert set(tables(out)[0]["channel"]) == {-1}


def test_files_of_other_programs_are_not_touched(
    archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "out.parquet"
    theirs.write_text("another program's")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("another program's")
    for out, restart in ((theirs, False), (theirs, True), (tmp_path / "folder", True)):
        with pytest.raises(MismatchError, match="not an output of batch-ser"):
            score(archive, out, checkpoint_path, restart=restart)
    with pytest.raises(MismatchError, match="is a file"):
        score(archive, tmp_path / "folder" / "thesis.txt", checkpoint_path)
    assert theirs.read_text() == "another program's"
    assert (tmp_path / "folder" / "thesis.txt").exists()


def test_one_driver_at_a_time(archive: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    sleeper = subprocess.Popen(["sleep", "600"])
    try:
        with Heartbeat(Output(str(out))):
            path = tmp_path / "out.work" / "driver.json"
            other = {"pid": sleeper.pid, "started": started(sleeper.pid)}
            other = json.loads(path.read_text()) | other
            path.write_text(json.dumps(other))
            with pytest.raises(AlreadyRunning, match="already running since"):
                score(archive, out, checkpoint_path)
            sleeper.kill()
            sleeper.wait()
            assert score(archive, out, checkpoint_path).exit_code == 0  # it took over
    finally:
        sleeper.kill()
