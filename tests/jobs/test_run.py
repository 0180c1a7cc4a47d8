"""The job: every file accounted for, the same scores however it is run."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from conftest import INLINE_FIRST, LABELS, Runner
from results import SCORES, assert_holds, assert_same_tables, score, tables

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from batch_ser.inputs import Selection
from jobs import RunConfig, run


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
        pytest.param(
            {"engine": "ray", "workers": 1}, marks=[pytest.mark.ray, pytest.mark.exhaustive]
        ),
        pytest.param({"engine": "ray", "workers": 2}, marks=pytest.mark.ray),
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


@pytest.mark.exhaustive
@pytest.mark.ray
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
        assert report.record.counts.segments == 30
        assert_holds(tmp_path / f"{number}.parquet")
    assert_same_tables(tmp_path / "0.parquet", tmp_path / "1.parquet")


@pytest.mark.slow
@pytest.mark.timeout(120)  # libsndfile hangs when it seeks in a FLAC that is cut off
@pytest.mark.parametrize("engine", INLINE_FIRST)
def test_a_bad_file_fails_alone(
    calm: Path,
    archive: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    speech: Samples,
    program: Runner,
    engine: str,
) -> None:
    shutil.copytree(archive, tmp_path / "in")
    (tmp_path / "in" / "letter.mp3").write_text("Dear Sir, this is not a recording.\n" * 20)
    (tmp_path / "in" / "zero.wav").write_bytes(b"")
    soundfile.write(tmp_path / "long.flac", speech, 16_000)
    data = (tmp_path / "long.flac").read_bytes()
    (tmp_path / "in" / "cut.flac").write_bytes(data[: len(data) // 2])
    done = program(
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
def test_channel_choices_account_for_all_samples(
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
    assert segments["channel"].is_monotonic_increasing  # for any order of the list


def test_a_list_of_channels_is_one_setting_however_it_is_written(
    calls: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    one = calls / "support-ulaw.wav"
    for choice in ("0,1", "1,0", " 0, 1"):
        report = score(one, out, checkpoint_path, channels=choice, segment={"method": "window"})
        assert report.record.fingerprint["channels"] == "0,1"
    with pytest.raises(UsageError, match="channels was 0,1, is split"):
        score(one, out, checkpoint_path, segment={"method": "window"})


def test_the_columns_of_a_manifest_are_in_the_table(
    archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
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
    assert sorted(path.name for path in out.iterdir()) == [
        "files",
        "run.json",
        "segments",
        "speech",
    ]


@pytest.mark.parametrize("out", ["results.parquet", "results"])
def test_emotions_of_two_results_compare(
    archive: Path, checkpoint_path: Path, tmp_path: Path, out: str
) -> None:
    """Each result has every label as a category, in the checkpoint's order, whatever was found."""
    found = []
    for day in ("day0", "day1"):
        (tmp_path / day).mkdir()
        score(archive / day, tmp_path / day / out, checkpoint_path, limit=2)
        path = tmp_path / day / out
        found.append(pd.read_parquet(path if path.is_file() else path / "segments"))
    one, other = found[0]["emotion"], found[1]["emotion"]
    assert set(one) != set(LABELS)  # few segments, so that it is no accident
    assert tuple(one.cat.categories) == LABELS
    joined = pd.concat(found)["emotion"]
    assert joined.dtype == one.dtype == other.dtype
    shared = min(len(one), len(other))
    assert ((one[:shared] == other[:shared]) == (one[:shared].astype(str) == other[:shared])).all()


def test_a_long_recording_is_one_row_when_whole(
    checkpoint_path: Path, tmp_path: Path, speech: Samples
) -> None:
    """75 s in three pieces: the mean weighted by their new seconds, as in `score`."""
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
