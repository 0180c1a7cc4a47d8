"""`batch-ser status`: every state of an output, and that nothing is written by looking at it."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import soundfile
from conftest import Runner
from heartbeats import stated, write_heartbeat
from results import score

from batch_ser.audio.samples import Samples
from batch_ser.results import Output, finalise
from batch_ser.storage import LocalFolder
from jobs.figures import MAKING_TABLES, Figures
from jobs.heartbeat import read_driver
from jobs.status import Watch

PROGRESS = {
    "phase": "scoring",
    "files_listed": 4_000,
    "all_listed": True,
    "files_done": 120,
    "files_failed": 2,
    "audio_s": 7_200.0,
    "speed_x_real_time": 85.0,
    "left_s": 600.0,
}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of this machine."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def given(tmp_path: Path, speech: Samples) -> Path:
    """Three inputs of a second: good, empty of bytes, and no audio."""
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "good.wav", speech[64_000:80_000], 16_000)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "letter.wav").write_text("a letter")
    return folder


def stop_before_tables(
    monkeypatch: pytest.MonkeyPatch, inputs: Path, out: Path, checkpoint: Path
) -> None:
    """A run that is stopped when all its parts are committed."""
    with monkeypatch.context() as patch:
        patch.setattr("jobs.driver.finalise", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            score(inputs, out, checkpoint)


def status_of(batch_ser: Runner, out: Path) -> dict[str, Any]:
    """What `--json` prints, once it is known that looking changes nothing."""
    before = contents(out.parent)
    done = batch_ser("status", out, "--json")
    assert done.returncode == 0, done.stderr
    text = batch_ser("status", out)
    assert text.returncode == 0
    assert contents(out.parent) == before
    found: dict[str, Any] = json.loads(done.stdout)
    assert f"state{' ' * 8}" in text.stdout
    assert found["next"] in text.stdout
    assert found["files_done"] == sum(found[f"files_{each}"] for each in ("ok", "empty", "failed"))
    return found


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def counts(found: dict[str, Any]) -> tuple[int, int, dict[str, int]]:
    return found["files_ok"], found["files_failed"], found["reasons"]


BOTH = {"no_audio": 1, "unsupported": 1}


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_a_job_from_its_start_to_its_end(
    name: str,
    given: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    sleeper: subprocess.Popen[bytes],
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / name
    work = tmp_path / Output(str(out)).folder.address / Output(str(out)).work
    work.mkdir(parents=True)
    heartbeat = write_heartbeat(work, stated(sleeper, progress=PROGRESS))
    found = status_of(batch_ser, out)
    assert (found["state"], found["files_done"]) == ("running", 0)
    assert found["progress"] == PROGRESS
    assert found["driver"]["process"] == sleeper.pid
    text = batch_ser("status", out).stdout
    assert "120 of 4,000 files, 2.00 h of audio, 2 failed, 85 x real time, 10 min left" in text
    heartbeat.unlink()

    stop_before_tables(monkeypatch, given, out, checkpoint_path)
    found = status_of(batch_ser, out)
    assert (found["state"], found["complete"]) == ("stopped", False)
    assert counts(found) == (1, 2, BOTH)
    assert found["audio_s"] == pytest.approx(1.0)
    assert found["last_commit"].startswith("20")
    assert "give its command again" in found["next"]

    write_heartbeat(work, stated(sleeper))
    found = status_of(batch_ser, out)
    assert (found["state"], found["progress"]) == ("running", None)
    assert counts(found) == (1, 2, BOTH)
    heartbeat.unlink()

    score(given, out, checkpoint_path)
    found = status_of(batch_ser, out)
    assert (found["state"], found["complete"]) == ("complete", True)
    assert counts(found) == (1, 2, BOTH)
    assert found["last_run"]["wall_s"] > 0
    assert f"batch-ser retry {out}" in found["next"]

    write_heartbeat(work, stated(sleeper))
    found = status_of(batch_ser, out)
    assert (found["state"], found["complete"]) == ("updating", True)
    heartbeat.unlink()

    shutil.copy(given / "good.wav", given / "more.wav")
    (given / "letter.wav").unlink()
    shutil.copy(given / "good.wav", given / "letter.wav")
    stop_before_tables(monkeypatch, given, out, checkpoint_path)
    found = status_of(batch_ser, out)
    assert (found["state"], found["files_not_published"]) == ("update_stopped", 2)
    assert counts(found) == (3, 1, {"no_audio": 1})  # of each file the row that counts


def test_a_file_in_several_parts_counts_once(
    given: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out.parquet"
    stop_before_tables(monkeypatch, given, out, checkpoint_path)
    shutil.copy(given / "good.wav", given / "letter.wav")
    stop_before_tables(monkeypatch, given, out, checkpoint_path)
    found = status_of(batch_ser, out)
    assert counts(found) == (2, 1, {"no_audio": 1})
    assert found["audio_s"] == pytest.approx(2.0)
    assert score(given, out, checkpoint_path).record.counts.files == {"ok": 2, "failed": 1}


@pytest.mark.parametrize("at_work", [True, False])
def test_while_tables_are_replaced(
    at_work: bool,
    given: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    sleeper: subprocess.Popen[bytes],
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out.parquet"
    with monkeypatch.context() as patch:
        moves = Mock(side_effect=KeyboardInterrupt)
        patch.setattr("batch_ser.results.publication._move_tables", moves)
        with pytest.raises(KeyboardInterrupt):
            score(given, out, checkpoint_path)
    if at_work:
        write_heartbeat(tmp_path / "out.work", stated(sleeper))
    found = status_of(batch_ser, out)
    assert found["state"] == ("publishing" if at_work else "interrupted")
    assert (found["complete"], found["finished"]) == (False, None)
    assert counts(found) == (1, 2, BOTH)
    if not at_work:
        assert batch_ser("verify", out).returncode == 0
        assert status_of(batch_ser, out)["state"] == "complete"


def test_parts_that_become_tables_while_they_are_read(
    given: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job ends between the listing of its parts and their reading."""
    out = tmp_path / "out.parquet"
    stop_before_tables(monkeypatch, given, out, checkpoint_path)
    local, ended = LocalFolder.local, []

    def ends_first(folder: LocalFolder, name: str) -> Path:
        if not ended:
            ended.append(name)
            score(given, out, checkpoint_path)
        return local(folder, name)

    monkeypatch.setattr(LocalFolder, "local", ends_first)
    done = batch_ser("status", out, "--json")
    assert ended
    assert json.loads(done.stdout)["state"] == "complete"
    assert counts(json.loads(done.stdout)) == (1, 2, BOTH)


def test_a_table_that_is_gone_is_reported(
    given: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("jobs.status.BETWEEN_LOOKS_S", 0.0)
    out = tmp_path / "out.parquet"
    score(given, out, checkpoint_path)
    shutil.copy(given / "good.wav", given / "more.wav")
    stop_before_tables(monkeypatch, given, out, checkpoint_path)
    out.with_suffix(".files.parquet").unlink()
    done = batch_ser("status", out)
    assert done.returncode == 1
    assert "a table is missing" in done.stderr


def test_what_is_no_output(tmp_path: Path, batch_ser: Runner) -> None:
    (tmp_path / "calls" / "work").mkdir(parents=True)
    (tmp_path / "calls" / "work" / "a.txt").write_text("theirs")
    (tmp_path / "theirs.parquet").write_text("theirs")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "run.json").write_text('{"model": 3}')
    (tmp_path / "damaged.run.json").write_text("{")
    for name, message in (
        ("nothing", "nothing: no output of batch-ser; expected what --out of a run was"),
        ("nothing.parquet", "no output of batch-ser"),
        ("calls", "calls: not an output of batch-ser"),
        ("theirs.parquet", "not an output of batch-ser"),
        ("other", "is not a record of batch-ser"),
        ("damaged.parquet", "is damaged"),
        ("x.csv", "found .csv"),
    ):
        done = batch_ser("status", name)
        assert done.returncode == 2, name
        assert message in done.stderr
        assert not done.stdout
        if "run.json" not in done.stderr:
            assert batch_ser("retry", name).returncode == 2


def test_control_characters_of_a_heartbeat_do_not_reach_the_terminal(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], batch_ser: Runner
) -> None:
    forged = stated(sleeper, since="\x1b[2Jnow", progress={"phase": "a\nstate  complete\x07"})
    write_heartbeat(tmp_path / "out.work", forged)
    text = batch_ser("status", "out.parquet").stdout
    assert "?[2Jnow" in text
    assert not [each for each in text if not each.isprintable() and each != "\n"]
    assert text.count("\nstate ") == 1


def test_a_driver_that_is_gone_is_not_reported(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], batch_ser: Runner
) -> None:
    """Killed before it committed anything: the output is ours, and stopped."""
    write_heartbeat(tmp_path / "out.work", stated(sleeper, started="1", progress=PROGRESS))
    found = status_of(batch_ser, tmp_path / "out.parquet")
    assert (found["state"], found["driver"], found["progress"]) == ("stopped", None, None)


def test_the_driver_states_its_progress(
    given: Path, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.parquet"
    seen: list[Figures] = []

    def waits_for_a_beat(*args: Any) -> Any:
        until = time.monotonic() + 60
        output = Output(str(out))
        while time.monotonic() < until and not seen:
            driver = read_driver(output.folder, output.driver_json)
            if driver and driver.progress and driver.progress.phase == MAKING_TABLES:
                seen.append(driver.progress)
        return finalise(*args)

    monkeypatch.setattr("jobs.heartbeat.BEAT_S", 0.01)
    monkeypatch.setattr("jobs.driver.finalise", waits_for_a_beat)
    score(given, out, checkpoint_path)
    (figures,) = seen
    assert (figures.files_listed, figures.all_listed) == (3, True)
    assert (figures.files_done, figures.files_failed) == (3, 2)
    assert figures.audio_s == pytest.approx(1.0)
    assert figures.left_s is None


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_watch_goes_on_until_no_driver_is_at_work(
    options: tuple[str, ...],
    tmp_path: Path,
    sleeper: subprocess.Popen[bytes],
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A line for the first look, none within the minute, and the whole at the end."""
    looks = []

    def passes(_: float) -> None:
        looks.append(1)
        if len(looks) == 3:
            sleeper.kill()
            sleeper.wait()

    write_heartbeat(tmp_path / "out.work", stated(sleeper, progress=PROGRESS))
    monkeypatch.setattr("jobs.commands.status.time.sleep", passes)
    done = batch_ser("status", "out.parquet", "--watch", *options)
    assert (done.returncode, len(looks)) == (0, 3)
    lines = done.stdout.splitlines()
    if options:
        assert [json.loads(line)["state"] for line in lines] == ["running", "stopped"]
        return
    assert lines[0].startswith("running; 0 files done, 0.00 h, 0 failed; 120 of 4,000 files")
    assert lines[1].split() == ["output", "out.parquet"]
    assert lines[2].split() == ["state", "stopped,", "not", "complete"]


def test_watch_ends_with_a_driver_that_leaves_nothing(
    tmp_path: Path,
    sleeper: subprocess.Popen[bytes],
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped before it had begun."""
    heartbeat = write_heartbeat(tmp_path / "out.work", stated(sleeper))
    monkeypatch.setattr("jobs.commands.status.time.sleep", lambda _: heartbeat.unlink())
    done = batch_ser("status", "out.parquet", "--watch")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1].startswith("out.parquet: no output of batch-ser")


def test_watching_reads_each_part_once(
    given: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out.parquet"
    stop_before_tables(monkeypatch, given, out, checkpoint_path)
    local = Mock(side_effect=LocalFolder(tmp_path).local)
    monkeypatch.setattr(LocalFolder, "local", local)
    watched = Watch(str(out))
    first = watched.look()
    read = local.call_count
    assert read > 0
    second = watched.look()
    assert local.call_count == read
    assert first.committed == second.committed


def test_status_loads_no_networks(calm: Path) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['batch-ser', 'status', {str(calm)!r}]\n"
        "from jobs.cli import app\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'ray', 'pandas', 'sklearn', 'librosa', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "complete" in done.stdout
