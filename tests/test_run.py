"""The job: every file accounted for, the same scores however it is run, resumable, refused when
settings differ."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from conftest import LABELS, PROGRAM, Runner

from batch_ser.audio import Samples
from batch_ser.errors import AlreadyRunning, MismatchError
from batch_ser.inputs import Selection
from batch_ser.output import Output
from batch_ser.verify import verify
from jobs import RunConfig, RunReport, run
from jobs.heartbeat import Heartbeat

SCORES = [f"p_{label}" for label in LABELS]


def score(inputs: Path, out: Path, checkpoint: Path, **options: Any) -> RunReport:
    settings: dict[str, Any] = {"engine": "inline"} | options
    return run(RunConfig((str(inputs),), str(out), str(checkpoint), **settings))


def tables(out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    return pd.read_parquet(out), pd.read_parquet(out.with_suffix(".files.parquet"))


def assert_same_tables(left: Path, right: Path) -> None:
    for one, other in zip(tables(left), tables(right), strict=True):
        exact = [name for name in one.columns if one[name].dtype != np.float32]
        pd.testing.assert_frame_equal(one[exact], other[exact])
        pd.testing.assert_frame_equal(one, other, atol=1e-4, rtol=0)


def assert_holds(out: Path) -> None:
    verdict = verify(Output(out))
    assert not verdict.faults, verdict.faults


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory, archive: Path, checkpoint_path: Path) -> Path:
    """The tables of a calm run over the archive, segments of speech."""
    out = tmp_path_factory.mktemp("calm") / "results.parquet"
    score(archive, out, checkpoint_path)
    return out


def test_every_file_has_its_rows(calm: Path, archive: Path) -> None:
    segments, files = tables(calm)
    expected = sorted(str(p.relative_to(archive)) for p in archive.glob("day*/*"))
    assert files["file"].tolist() == expected
    assert set(files["status"]) <= {"ok", "empty"}
    assert set(segments["file"]) == set(files.loc[files["status"] == "ok", "file"])
    assert np.allclose(segments[SCORES].sum(axis=1), 1, atol=1e-5)
    best = segments[SCORES].to_numpy().argmax(axis=1)
    assert segments["emotion"].tolist() == [LABELS[i] for i in best]
    assert (segments["end_s"] > segments["start_s"]).all()
    record = json.loads(calm.with_name("results.run.json").read_text())
    assert record["counts"]["files_in"] == 20
    assert record["listing"]["ignored"] == 1
    metadata = pq.read_schema(calm).metadata
    assert json.loads(metadata[b"labels"]) == list(LABELS)
    assert not calm.with_name("results.work").exists()
    assert_holds(calm)


@pytest.mark.parametrize(
    "options",
    [
        {"engine": "ray", "workers": 1},
        {"engine": "ray", "workers": 2},
        {"batch_s": 1.0},
        {"batch_s": 500.0},
    ],
)
def test_scores_do_not_depend_on_how_a_job_is_run(
    calm: Path, archive: Path, checkpoint_path: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    out = tmp_path / "results.parquet"
    assert score(archive, out, checkpoint_path, **options).exit_code == 0
    assert_same_tables(out, calm)


def test_real_recordings_give_the_same_scores_on_ray(shared: Path, tmp_path: Path) -> None:
    """The shipped checkpoint on RAVDESS, whole recordings: one row each, within 1e-4."""
    actor = shared / "data" / "ravdess" / "Actor_05"
    whole = {"segment": {"method": "whole"}, "selection": Selection(include=("*-01-05.flac",))}
    runs = [{"engine": "inline"}, {"engine": "ray", "workers": 2, "batch_s": 9.0}]
    for number, options in enumerate(runs):
        report = run(
            RunConfig((str(actor),), str(tmp_path / f"{number}.parquet"), **(whole | options))
        )
        assert report.exit_code == 0
        assert report.record["counts"]["segments"] == 30
        assert_holds(tmp_path / f"{number}.parquet")
    assert_same_tables(tmp_path / "0.parquet", tmp_path / "1.parquet")


@pytest.mark.timeout(120)  # libsndfile hangs when it seeks in a FLAC that is cut off
@pytest.mark.parametrize("engine", ["inline", "ray"])
def test_a_bad_file_fails_alone(
    calm: Path,
    archive: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    speech: Samples,
    batch_ser: Runner,
    engine: str,
) -> None:
    shutil.copytree(archive, tmp_path / "in")
    (tmp_path / "in" / "letter.mp3").write_text("Dear Sir, this is not a recording.\n" * 20)
    (tmp_path / "in" / "zero.wav").write_bytes(b"")
    soundfile.write(tmp_path / "long.flac", speech, 16_000)
    data = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "in" / "cut.flac").write_bytes(data[: len(data) // 2])
    done = batch_ser(
        *("run", "--input", "in", "--out", "out.parquet", "--model", checkpoint_path),
        *("--engine", engine, "--workers", 2, "--json"),
    )
    assert done.returncode == 3, done.stderr
    segments, files = tables(tmp_path / "out.parquet")
    bad = files.set_index("file").loc[["letter.mp3", "zero.wav", "cut.flac"]]
    assert bad["status"].tolist() == ["failed", "failed", "ok"]
    assert bad["reason"].tolist()[:2] == ["unsupported", "no_audio"]
    assert bad["note"].tolist()[2] == "truncated"
    assert 10 < bad["duration_s"].tolist()[2] < 20
    good, expected = segments[segments["file"].str.startswith("day")], tables(calm)[0]
    pd.testing.assert_frame_equal(good.reset_index(drop=True), expected, atol=1e-4, rtol=0)
    assert json.loads(done.stdout)["counts"]["reasons"] == {"no_audio": 1, "unsupported": 1}
    assert_holds(tmp_path / "out.parquet")


def test_a_budget_of_failures(archive: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    shutil.copytree(archive, folder)
    (folder / "zero.wav").write_bytes(b"")
    report = score(folder, tmp_path / "out.parquet", checkpoint_path)
    assert report.exit_code == 3
    for max_failed, status in (("1", 0), ("5%", 0), ("4%", 3)):
        again = score(folder, tmp_path / "out.parquet", checkpoint_path, max_failed=max_failed)
        assert again.exit_code == status


@pytest.fixture(scope="session")
def long_archive(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> Path:
    """Twenty files of 50 s, more than the first shards hold: a job that can be stopped half way."""
    root = tmp_path_factory.mktemp("long")
    for number in range(20):
        samples = np.roll(np.tile(speech, 2), number * 4_321)[: 50 * 16_000]
        soundfile.write(root / f"call{number:02}.wav", samples, 16_000)
    return root


def started_job(tmp_path: Path, *command: object) -> subprocess.Popen[bytes]:
    """A job that has committed its first files, and not yet the last."""
    job = subprocess.Popen([PROGRAM, *map(str, command)], cwd=tmp_path, stderr=subprocess.PIPE)
    while not list((tmp_path / "out.work" / "parts").glob("*.files.parquet")):
        assert job.poll() is None, "it ended before it could be stopped"
        time.sleep(0.005)
    return job


@pytest.mark.parametrize("engine", ["inline", "ray"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_job_resumes(
    long_archive: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    batch_ser: Runner,
    engine: str,
    number: signal.Signals,
) -> None:
    """Stopped after the first commit: the same command ends with the tables of a calm run."""
    command = ["run", "--input", long_archive, "--out", "out.parquet", "--model", checkpoint_path]
    command += ["--engine", engine, "--workers", 1]
    job = started_job(tmp_path, *command)
    job.send_signal(number)
    _, said = job.communicate(timeout=60)
    assert not (tmp_path / "out.run.json").exists()
    assert 0 < sum(len(pq.read_table(p)) for p in tmp_path.glob("out.work/parts/*.files.*")) < 20
    if number != signal.SIGKILL:
        assert job.returncode == 128 + number, said
        assert b"the same command goes on from here" in said
        assert not (tmp_path / "out.work" / "driver.json").exists()
    done = batch_ser(*command)
    assert done.returncode == 0, done.stderr
    score(long_archive, tmp_path / "calm.parquet", checkpoint_path)
    assert_same_tables(tmp_path / "out.parquet", tmp_path / "calm.parquet")
    assert_holds(tmp_path / "out.parquet")


def test_a_finished_job_has_nothing_to_do(
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


def test_other_settings_are_refused(archive: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    score(archive, out, checkpoint_path, limit=2)
    for change, says in (
        ({"segment": {"max_s": 6.0}}, "segment.max_s was 8.0, is 6.0"),
        ({"channels": "mix"}, "channels was split, is mix"),
    ):
        with pytest.raises(MismatchError, match=says):
            score(archive, out, checkpoint_path, **change)
    with pytest.raises(MismatchError, match="input was"):
        score(archive / "day0", out, checkpoint_path)
    with pytest.raises(MismatchError, match="checkpoint was"):
        run(RunConfig((str(archive),), str(out), "accurate", engine="inline"))
    again = score(archive, out, checkpoint_path, channels="mix", restart=True)
    assert again.record["counts"]["files_in"] == 20
    assert set(tables(out)[0]["channel"]) == {-1}


def test_what_is_not_ours_is_left_alone(
    archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "out.parquet"
    theirs.write_text("somebody's")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("somebody's")
    for out, restart in ((theirs, False), (theirs, True), (tmp_path / "folder", True)):
        with pytest.raises(MismatchError, match="not an output of batch-ser"):
            score(archive, out, checkpoint_path, restart=restart)
    assert theirs.read_text() == "somebody's"
    assert (tmp_path / "folder" / "thesis.txt").exists()


def test_one_driver_at_a_time(archive: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    sleeper = subprocess.Popen(["sleep", "60"])
    try:
        with Heartbeat(tmp_path / "out.work") as heartbeat:
            other = json.loads(heartbeat.path.read_text()) | {"pid": sleeper.pid}
            heartbeat.path.write_text(json.dumps(other))
            with pytest.raises(AlreadyRunning, match="already running since"):
                score(archive, out, checkpoint_path)
            sleeper.kill()
            sleeper.wait()
            assert score(archive, out, checkpoint_path).exit_code == 0  # it took over
    finally:
        sleeper.kill()


def test_stereo_is_not_mixed_down(calls: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    score(calls, out, checkpoint_path)
    segments, files = tables(out)
    assert len(files) == 4
    stereo = segments[segments["file"] == "support-ulaw.wav"]
    agent, customer = (stereo[stereo["channel"] == number] for number in (0, 1))
    assert agent["start_s"].min() < customer["start_s"].min() < agent["end_s"].max()
    row = files.set_index("file").loc["support-ulaw.wav"]
    assert row["decoded_s"] == pytest.approx(2 * row["duration_s"])
    assert len(row["speech_s"]) == 2
    assert row["overlap_s"] < 1.0  # they take turns
    assert row["silence_s"] == pytest.approx(
        row["duration_s"] - sum(row["speech_s"]) + row["overlap_s"]
    )
    assert_holds(out)


@pytest.mark.parametrize("channels", ["mix", "1", "1,0"])
def test_channel_choices_close_the_books(
    calls: Path, checkpoint_path: Path, tmp_path: Path, channels: str
) -> None:
    out = tmp_path / "out.parquet"
    one = calls / "support-ulaw.wav"
    score(one, out, checkpoint_path, channels=channels, segment={"method": "window"})
    assert_holds(out)
    segments, files = tables(out)
    expected = {"mix": {-1}, "1": {1}, "1,0": {0, 1}}[channels]
    assert set(segments["channel"]) == expected
    share = 0.5 if channels == "1" else 0.0
    assert files["not_asked_s"][0] == pytest.approx(share * files["decoded_s"][0])


def test_a_manifest_s_columns_travel(archive: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text(
        "file,agent,emotion\nday0/call12.wav,Anna,calm\nday1/call13.flac,Ben,\nday9/no.wav,Cleo,\n"
    )
    out = tmp_path / "out.parquet"
    selection = Selection(root=str(archive))
    assert score(listed, out, checkpoint_path, selection=selection).exit_code == 3
    segments, files = tables(out)
    assert files["file"].tolist() == ["day0/call12.wav", "day1/call13.flac", "day9/no.wav"]
    assert files["reason"].tolist()[2] == "not_found"
    by_agent = segments.groupby("file")[["agent", "in_emotion"]].first()
    assert by_agent.loc["day0/call12.wav"].tolist() == ["Anna", "calm"]
    assert by_agent.loc["day1/call13.flac"].tolist() == ["Ben", ""]
    assert_holds(out)


def test_a_folder_output(calm: Path, archive: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    score(archive, out, checkpoint_path, limit=5)
    score(archive, out, checkpoint_path)
    assert_holds(out)
    segments = pd.read_parquet(out / "segments")
    pd.testing.assert_frame_equal(segments, tables(calm)[0], atol=1e-4, rtol=0)
    assert sorted(path.name for path in out.iterdir()) == ["files", "run.json", "segments"]


def test_verify_finds_what_was_changed(calm: Path, tmp_path: Path, batch_ser: Runner) -> None:
    for path in calm.parent.iterdir():
        shutil.copy(path, tmp_path)
    out = tmp_path / "results.parquet"
    assert batch_ser("verify", out).returncode == 0
    table = pq.read_table(out)
    pq.write_table(table.slice(1), out)
    done = batch_ser("verify", out)
    assert done.returncode == 1
    assert "not the file that the job wrote" in done.stdout
    assert "found 0 segments" in done.stdout
    out.with_name("results.run.json").unlink()
    assert batch_ser("verify", out).returncode == 2


def test_a_long_recording_is_one_row_when_whole(
    checkpoint_path: Path, tmp_path: Path, speech: Samples
) -> None:
    """75 s in three pieces: the mean weighted by their new seconds, as `score` gives it."""
    from models import load_checkpoint

    long = np.tile(speech, 3)[: 75 * 16_000]
    soundfile.write(tmp_path / "long.wav", long, 16_000, subtype="FLOAT")
    out = tmp_path / "out.parquet"
    score(tmp_path / "long.wav", out, checkpoint_path, segment={"method": "whole"})
    segments, _ = tables(out)
    assert segments[["start_s", "end_s"]].to_numpy().tolist() == [[0.0, 75.0]]
    expected = load_checkpoint(checkpoint_path).score(long, 16_000)
    assert np.allclose(segments[SCORES].to_numpy()[0], expected, atol=1e-4)
    assert_holds(out)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--input", "nothing-here", "--out", "o.parquet"),
        ("--input", ".", "--out", "o.parquet", "--model", "best"),
        ("--input", ".", "--out", "o.parquet", "--segment", "words"),
        ("--input", ".", "--out", "o.parquet", "--channels", "left"),
        ("--input", ".", "--out", "o.parquet", "--max-failed", "few"),
        ("--input", ".", "--out", "o.parquet", "--workers", "0"),
        ("--input", ".", "--out", "o.parquet", "--engine", "spark"),
        ("--input", "."),
    ],
)
def test_wrong_usage_is_status_2(batch_ser: Runner, arguments: tuple[str, ...]) -> None:
    done = batch_ser("run", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_predict(batch_ser: Runner, calls: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    (tmp_path / "no.mp3").write_text("a letter")
    done = batch_ser(
        "predict", "--model", checkpoint_path, "--segments", calls / "queue.mp3", "no.mp3"
    )
    assert done.returncode == 3
    first, second = map(json.loads, done.stdout.splitlines())
    assert first["filename"].endswith("queue.mp3")
    assert first["confidence"] == max(first["all_emotions"].values())
    assert first["all_emotions"][first["emotion"]] == first["confidence"]
    assert sum(first["all_emotions"].values()) == pytest.approx(1, abs=1e-5)
    assert len(first["segments"]) > 1
    assert second["error"]["reason"] == "unsupported"
