"""`batch-ser retry`: failed files again, with the options of their run; everything else stays."""

import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import soundfile
from conftest import INLINE_FIRST, LABELS, Runner
from networks import small_checkpoint
from results import assert_holds, assert_same_tables, score, tables

from batch_ser.audio import Reading
from batch_ser.audio.samples import Samples
from batch_ser.errors import AlreadyRunning, CheckpointError, MismatchError, UsageError
from batch_ser.inputs import Selection
from batch_ser.results import Output
from jobs.adapt import adapt_again
from jobs.heartbeat import Heartbeat
from jobs.retry import Retried, RetryOptions, retry

NO_FAILURE: dict[str, str] = {}
BOTH = {"empty.wav": "no_audio", "letter.wav": "unsupported"}


@pytest.fixture
def given(tmp_path: Path, speech: Samples) -> Path:
    """Four inputs: two good ones, one without a byte, and one that is no audio."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("a.wav", "b.wav")):
        start = 64_000 + number * 48_000
        soundfile.write(folder / name, speech[start : start + 40_000], 16_000)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "letter.wav").write_text("a letter")
    return folder


@pytest.fixture(scope="module")
def adapting_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small checkpoint with an offset head."""
    path = tmp_path_factory.mktemp("adapting") / "offset.safetensors"
    return small_checkpoint(path, "whisper, offset", LABELS)


def failures(out: Path) -> dict[str, str]:
    found = tables(out)[1].set_index("file")["reason"].dropna()
    return {str(name): str(reason) for name, reason in found.items()}


def record_of(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(out.with_suffix(".run.json").read_text())
    return content


def repaired(path: Path) -> None:
    """A file that failed becomes a recording."""
    shutil.copy(path.with_name("a.wav"), path)


def snapshot(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("engine", INLINE_FIRST)
def test_repaired_files_are_as_if_they_had_never_failed(
    engine: str, given: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out, calm = tmp_path / "out.parquet", tmp_path / "calm.parquet"
    assert score(given, out, checkpoint_path).exit_code == 3
    assert failures(out) == BOTH
    repaired(given / "letter.wav")
    options = RetryOptions(engine=engine, workers=1)
    done = retry(str(out), options=options)
    assert done.retried == Retried(files_retried=2, files_good=1, files_failed_again=1)
    assert done.exit_code == 3
    assert failures(out) == {"empty.wav": "no_audio"}
    assert_holds(out)
    repaired(given / "empty.wav")
    done = retry(str(out), options=options)
    assert done.retried == Retried(files_retried=1, files_good=1)
    assert done.exit_code == 0
    assert_holds(out)
    score(given, calm, checkpoint_path)
    assert_same_tables(out, calm)
    assert record_of(out)["configuration"]["engine"] == engine


def test_files_of_the_same_size_and_time_are_done_again(
    given: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """What `run` would take for unchanged; a failure of another reason replaces the earlier one."""
    out, letter = tmp_path / "out.parquet", given / "letter.wav"
    score(given, out, checkpoint_path)
    before, known = tables(out)[1].set_index("file").loc["letter.wav"], letter.stat()
    assert retry(str(out)).retried == Retried(files_retried=2, files_failed_again=2)
    assert tables(out)[1].set_index("file").loc["letter.wav"].equals(before)
    letter.write_bytes(b"RIFF\4\0\0\0")
    os.utime(letter, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert letter.stat().st_size == known.st_size
    assert score(given, out, checkpoint_path).exit_code == 3
    assert failures(out) == BOTH
    retry(str(out))
    after = tables(out)[1].set_index("file").loc["letter.wav"]
    assert (after["reason"], after["message"]) != (before["reason"], before["message"])
    assert_holds(out)


def test_by_reason(given: Path, checkpoint_path: Path, tmp_path: Path, batch_ser: Runner) -> None:
    out = tmp_path / "out.parquet"
    score(given, out, checkpoint_path)
    for name in BOTH:
        repaired(given / name)
    before = snapshot(tmp_path)
    done = batch_ser("retry", out, "--reason", "timeout,corrupt")
    assert done.returncode == 3
    assert done.stdout.startswith("nothing to retry: no file failed, or none for these reasons")
    done = batch_ser("retry", out, "--reason", "corrupt, wrong")
    assert done.returncode == 2
    assert "--reason wrong: expected one or more of not_found, forbidden" in done.stderr
    assert snapshot(tmp_path) == before
    done = batch_ser("retry", out, "--reason", "corrupt, unsupported")
    assert done.returncode == 3
    assert done.stdout.startswith("retried: 1; good now: 1; failed again: 0\n")
    assert failures(out) == {"empty.wav": "no_audio"}
    done = batch_ser("retry", out, "--json")
    assert done.returncode == 0
    content = json.loads(done.stdout)
    assert content["retried"]["files_good"] == 1
    assert content["counts"]["files"] == {"ok": 4}
    assert failures(out) == NO_FAILURE
    assert_holds(out)


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_with_nothing_to_retry_nothing_is_written(
    name: str, archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / name
    score(archive, out, checkpoint_path, limit=2)
    before = snapshot(tmp_path)
    done = retry(str(out))
    assert (done.exit_code, done.retried) == (0, Retried())
    assert snapshot(tmp_path) == before


def test_a_file_that_is_no_longer_listed_keeps_its_row(
    given: Path, checkpoint_path: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    out = tmp_path / "out.parquet"
    score(given, out, checkpoint_path)
    (given / "letter.wav").unlink()
    (given / "new.wav").write_bytes(b"")  # no file that failed
    done = batch_ser("retry", out)
    assert done.returncode == 3
    assert "retried: 1; good now: 0; failed again: 1" in done.stdout
    assert "no longer among the inputs: 1; their rows are kept" in done.stdout
    assert failures(out) == BOTH
    for name in ("empty.wav", "a.wav", "b.wav", "new.wav"):
        (given / name).unlink()
    assert retry(str(out)).retried == Retried(files_not_listed=2)  # nor is an empty folder an error
    assert_holds(out)


def test_too_long_is_retried_under_a_higher_limit_alone(
    given: Path, checkpoint_path: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    out = tmp_path / "out.parquet"
    score(given, out, checkpoint_path, reading=Reading(max_hours=0.0005))
    too_long = {"a.wav": "too_long", "b.wav": "too_long"}
    assert failures(out) == BOTH | too_long
    before = out.stat().st_mtime_ns
    done = batch_ser("retry", out, "--reason", "too_long", "--max-hours", 0.0004)
    assert "not retried, since too long still: 2; a higher --max-hours does them" in done.stdout
    assert out.stat().st_mtime_ns == before
    done = batch_ser("retry", out, "--max-hours", 1)
    assert "retried: 4; good now: 2; failed again: 2" in done.stdout
    assert failures(out) == BOTH
    assert record_of(out)["configuration"]["reading"]["max_hours"] == 1
    assert_holds(out)


def test_relative_inputs_start_where_the_run_was_given(
    given: Path, checkpoint_path: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    """Also the root and the checkpoint, and the name of the output is where `retry` is given."""
    shutil.copy(checkpoint_path, tmp_path / "small.safetensors")
    line = ["--input", "in", "--input", "in/a.wav", "--root", ".", "--exclude", "b.wav"]
    line += ["--model", "small.safetensors", "--engine", "inline", "--max-failed", "2"]
    assert batch_ser("run", *line, "--out", "out.parquet").returncode == 0
    configuration = record_of(tmp_path / "out.parquet")["configuration"]
    assert configuration["working_folder"] == str(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    repaired(given / "letter.wav")
    done = batch_ser("retry", "../out.parquet", cwd=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "retried: 2; good now: 1; failed again: 1" in done.stdout
    assert failures(tmp_path / "out.parquet") == {"in/empty.wav": "no_audio"}
    after = record_of(tmp_path / "out.parquet")["configuration"]
    assert after == configuration
    assert not list(elsewhere.iterdir())
    (tmp_path / "small.safetensors").rename(elsewhere / "moved.safetensors")
    done = batch_ser("retry", "../out.parquet", cwd=elsewhere)
    assert done.returncode == 2
    assert "the checkpoint of its run is not found" in done.stderr
    assert "give --model" in done.stderr
    line = ["--model", "moved.safetensors"]
    done = batch_ser("retry", "../out.parquet", *line, cwd=elsewhere)
    assert "retried: 1; good now: 0; failed again: 1" in done.stdout


def test_a_working_folder_that_is_gone(
    given: Path, checkpoint_path: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    for name, inputs in (("relative", "../in"), ("absolute", str(given))):
        (tmp_path / name).mkdir()
        line = ["run", "--input", inputs, "--out", f"../{name}.parquet", "--engine", "inline"]
        batch_ser(*line, "--model", checkpoint_path, cwd=tmp_path / name)
        (tmp_path / name).rmdir()
    done = batch_ser("retry", "relative.parquet")
    assert done.returncode == 2
    assert f"its run was given in {tmp_path / 'relative'}, where its relative inputs" in done.stderr
    assert batch_ser("retry", "absolute.parquet").returncode == 3


def test_an_output_without_a_working_folder_uses_the_current_one(
    given: Path, checkpoint_path: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    """From before it was recorded; the fingerprint refuses another folder."""
    line = ["run", "--input", "in", "--out", "out.parquet", "--engine", "inline"]
    batch_ser(*line, "--model", checkpoint_path)
    path = tmp_path / "out.run.json"
    content = json.loads(path.read_text())
    del content["configuration"]["working_folder"]
    path.write_text(json.dumps(content))
    (tmp_path / "other" / "in").mkdir(parents=True)
    done = batch_ser("retry", "../out.parquet", cwd=tmp_path / "other")
    assert done.returncode == 2
    assert "input was" in done.stderr
    repaired(given / "letter.wav")
    assert "good now: 1" in batch_ser("retry", "out.parquet").stdout


@pytest.mark.parametrize(
    "changes", [{"inputs": 3}, {"inputs": [3]}, {"workers": "2"}, {"reading": 1}, {"segment": 1}]
)
def test_a_forged_configuration_is_refused(
    changes: dict[str, Any], given: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.parquet"
    score(given, out, checkpoint_path)
    content = record_of(out)
    content["configuration"] |= changes
    out.with_suffix(".run.json").write_text(json.dumps(content))
    with pytest.raises(MismatchError, match="configuration"):
        retry(str(out))


def test_options_of_the_run_are_kept(given: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out, calm = tmp_path / "out.parquet", tmp_path / "calm.parquet"
    options: dict[str, Any] = {
        "segment": {"method": "window", "window_s": 0.5},
        "channels": "mix",
        "selection": Selection(exclude=("b.*",), root=str(tmp_path)),
        "embeddings": True,
        "max_failed": "50%",
    }
    assert score(given, out, checkpoint_path, **options).exit_code == 3
    repaired(given / "letter.wav")
    assert retry(str(out)).exit_code == 0  # one of three failed
    assert score(given, calm, checkpoint_path, **options).exit_code == 0
    assert_same_tables(out, calm)
    one, other = (record_of(each)["configuration"] for each in (out, calm))
    assert one | {"out": ""} == other | {"out": ""}


def test_adaptation_is_what_it_is_now(given: Path, adapting_path: Path, tmp_path: Path) -> None:
    """As `batch-ser adapt` made it, and not as the run did."""
    out, calm = tmp_path / "out.parquet", tmp_path / "calm.parquet"
    windows: dict[str, Any] = {"segment": {"method": "window", "window_s": 0.5}}
    score(given, out, adapting_path, **windows)
    adapt_again(str(out), "recording", "angry=0.5")
    repaired(given / "letter.wav")
    assert retry(str(out)).retried.files_good == 1
    score(given, calm, adapting_path, adapt="recording", expect="angry=0.5", **windows)
    assert_same_tables(out, calm)
    assert record_of(out)["fingerprint"] == record_of(calm)["fingerprint"]
    assert_holds(out)


def test_an_offset_that_was_taken_over_stays(
    given: Path, archive: Path, adapting_path: Path, tmp_path: Path
) -> None:
    """Though the output that it is from is gone."""
    base, out = tmp_path / "base.parquet", tmp_path / "out.parquet"
    windows: dict[str, Any] = {"segment": {"method": "window", "window_s": 0.5}}
    score(archive, base, adapting_path, limit=4, **windows)
    score(given, out, adapting_path, adapt_from=str(base), **windows)
    before = record_of(out)
    for path in tmp_path.glob("base*"):
        path.unlink()
    repaired(given / "letter.wav")
    assert retry(str(out)).retried.files_good == 1
    after = record_of(out)
    for key in ("offset", "fingerprint", "configuration"):
        assert after[key] == before[key]
    assert_holds(out)


def test_a_retry_that_was_stopped_goes_on(
    given: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, calm = tmp_path / "out.parquet", tmp_path / "calm.parquet"
    score(given, out, checkpoint_path)
    for name in BOTH:
        repaired(given / name)
    with monkeypatch.context() as patch:
        patch.setattr("jobs.driver.finalise", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            retry(str(out))
    assert failures(out) == BOTH
    state = json.loads(batch_ser("status", out, "--json").stdout)
    assert (state["state"], state["files_ok"]) == ("update_stopped", 4)
    assert retry(str(out)).exit_code == 0
    score(given, calm, checkpoint_path)
    assert_same_tables(out, calm)
    assert_holds(out)


def test_what_cannot_be_retried(
    given: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out.parquet"
    with pytest.raises(MismatchError, match="no output of batch-ser"):
        retry(str(out))
    with monkeypatch.context() as patch:
        patch.setattr("jobs.driver.finalise", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            score(given, out, checkpoint_path)
    done = batch_ser("retry", out)
    assert done.returncode == 2
    assert "out.parquet: not complete; give its run again first" in done.stderr
    score(given, out, checkpoint_path)
    with Heartbeat(Output(str(out))):
        path = tmp_path / "out.work" / "driver.json"
        other = json.loads(path.read_text()) | {"host": "elsewhere"}
        path.write_text(json.dumps(other))
        with pytest.raises(AlreadyRunning, match="on host elsewhere"):
            retry(str(out))
    with pytest.raises(CheckpointError, match="there is no such file"):
        retry(str(out), options=RetryOptions(model="gone.safetensors"))
    with pytest.raises(UsageError, match="expected ray or inline"):
        retry(str(out), options=RetryOptions(engine="spark"))
    with pytest.raises(MismatchError, match="checkpoint was"):
        retry(str(out), options=RetryOptions(model="fast"))
