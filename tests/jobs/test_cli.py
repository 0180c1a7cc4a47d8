"""The command line: its exit codes, `verify` and `predict`."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import PROGRAM, Runner
from trainings import training
from typer.testing import CliRunner

from jobs.cli import app


def test_the_shell_completes_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_BATCH_SER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "batch-ser imp")
    monkeypatch.setenv("COMP_CWORD", "1")
    done = CliRunner().invoke(app, [], prog_name="batch-ser")
    assert done.stdout.split() == ["import-labels"]


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


@pytest.mark.parametrize("command", ["verify", "status", "calls", "adapt"])
def test_a_renamed_output_is_noticed(
    calm: Path, tmp_path: Path, command: str, batch_ser: Runner
) -> None:
    """Its record lists the earlier names: nothing of it would be found, and nothing missed."""
    for path in calm.parent.glob("results*"):
        if path.is_file():
            shutil.copy(path, tmp_path / path.name.replace("results", "renamed"))
    done = batch_ser(command, "renamed.parquet")
    assert done.returncode == 2
    assert "give all its files their earlier names again" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--input", "nothing-here", "--out", "o.parquet"),
        ("--input", ".", "--out", "o.parquet", "--model", "best"),
        ("--input", ".", "--out", "o.parquet", "--segment", "words"),
        ("--input", ".", "--out", "o.parquet", "--channels", "left"),
        ("--input", ".", "--out", "o.parquet", "--max-failed", "few"),
        ("--input", ".", "--out", "o.parquet", "--max-failed", "²"),
        ("--input", ".", "--out", "o.parquet", "--batch-s", "nan"),
        ("--input", ".", "--out", "o.parquet", "--workers", "0"),
        ("--input", ".", "--out", "o.parquet", "--engine", "spark"),
        ("--input", "."),
        ("--input", ".", "--out", "ftp://host/o.parquet"),
        ("--input", ".", "--out", "o.csv"),
        ("--input", ".", "--out", "o.xlsx"),
        ("--input", "list.xlsx", "--out", "o.parquet"),
    ],
)
def test_wrong_usage_is_status_2(batch_ser: Runner, arguments: tuple[str, ...]) -> None:
    done = batch_ser("run", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_other_formats_are_refused_with_the_way_out(batch_ser: Runner, tmp_path: Path) -> None:
    for out in ("o.csv", "O.XLSX", "o.json"):
        done = batch_ser("run", "--input", ".", "--out", out)
        assert done.returncode == 2
        assert "expected NAME.parquet or a folder; write Parquet and convert it" in done.stderr
    (tmp_path / "list.xlsx").write_bytes(b"PK")
    done = batch_ser("run", "--input", "list.xlsx", "--out", "o.parquet")
    assert done.returncode == 2
    assert "expected a manifest; save it as CSV" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["list.xlsx"]


def test_inputs_without_recordings_are_refused(
    batch_ser: Runner, checkpoint_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    (tmp_path / "empty.csv").write_text("file,agent\n")
    for given, message in (
        ("in", "no recordings found in in, 1 files were passed over by their names"),
        ("in/*.wav", "nothing matches this pattern"),
        ("in/**/*.wav", "no recordings found"),
        ("empty.csv", "empty.csv has a header and no lines"),
    ):
        line = ("run", "--input", given, "--out", "o.parquet", "--model", checkpoint_path)
        done = batch_ser(*line, "--engine", "inline")
        assert done.returncode == 2
        assert message in done.stderr
        assert ("--include" in done.stderr) == ("no recordings" in done.stderr)
        assert not list(tmp_path.glob("o.*"))
    assert batch_ser(*line, "--engine", "inline", "--allow-empty").returncode == 0
    assert batch_ser("verify", "o.parquet").returncode == 0


def test_the_report_lists_files_that_failed(
    batch_ser: Runner, archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(next(archive.glob("*/*.wav")), tmp_path / "in")
    line = ("run", "--input", "in", "--out", "o", "--model", checkpoint_path, "--engine", "inline")
    assert "failed files" not in batch_ser(*line).stdout
    for number in range(3):
        (tmp_path / "in" / f"bad{number}.wav").write_bytes(b"")
    (tmp_path / "in" / "two\nlines.wav").write_text("a letter")
    report = batch_ser(*line).stdout.splitlines()
    at = report.index("failed files (all)")
    assert report[at + 1].startswith("  bad0.wav: no_audio: the file is empty")
    assert report[at + 4].startswith("  two?lines.wav: unsupported: ")
    assert len(report) == at + 5
    for number in range(3, 30):
        (tmp_path / "in" / f"bad{number}.wav").write_bytes(b"")
    report = batch_ser(*line).stdout.splitlines()
    at = report.index("failed files (the first 10 of 31; the files table has all)")
    names = sorted(f"bad{number}.wav" for number in range(30))[:10]
    assert [each.strip().split(":")[0] for each in report[at + 1 :]] == names


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


def test_a_training_of_nothing_is_refused(batch_ser: Runner) -> None:
    for arguments, message in (
        (("--show",), "--show: found neither --recipe nor --data; expected --recipe NAME"),
        (("--data", "folder:.", "--out", "run"), "--recipe: expected one of ast, vgg"),
    ):
        done = batch_ser("train", *arguments)
        assert done.returncode == 2
        assert done.stderr.startswith(f"batch-ser: {message}")
        assert not done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.exhaustive)]
)
def test_a_stopped_training_leaves_nothing_behind(
    tree: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """Stopped after its first epoch: its cache is gone, its state is kept."""
    temporary, run = tmp_path / "temporary", tmp_path / "run"
    temporary.mkdir()
    config = training(tree, run, "gap-cnn")
    overrides = (*config.overrides, "epochs=100000", "patience=100000")
    command: list[str | Path] = [PROGRAM, "train", "--data", config.data[0], "--recipe", "gap-cnn"]
    command += ["--out", run, "--split", config.split, "--device", "cpu"]
    command += [each for override in overrides for each in ("--set", override)]
    environment = os.environ | {"TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}
    job = subprocess.Popen(command, stderr=subprocess.PIPE, env=environment)
    while not (run / "state.safetensors").exists():
        assert job.poll() is None, "it ended before it could be stopped"
        time.sleep(0.02)
    assert list(temporary.glob("batch-ser-*"))
    job.send_signal(number)
    _, stderr = job.communicate(timeout=300)
    assert job.returncode == 128 + number, stderr
    assert b"stopped by a signal; the same command goes on from here" in stderr
    assert b"Traceback" not in stderr
    assert not list(temporary.glob("batch-ser-*"))
    assert (run / "state.safetensors").exists()
