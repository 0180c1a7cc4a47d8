"""The command line: its exit codes, `verify` and `predict`."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from conftest import Runner


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
        ("--input", ".", "--out", "s3://bucket/o.parquet"),
        ("--input", "https://me:word@host/a?signature=x", "--out", "o.parquet"),
    ],
)
def test_wrong_usage_is_status_2(batch_ser: Runner, arguments: tuple[str, ...]) -> None:
    done = batch_ser("run", *arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert "word@" not in done.stderr
    assert "signature" not in done.stderr


def test_a_folder_without_recordings_is_told(
    batch_ser: Runner, checkpoint_path: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    done = batch_ser("run", "--input", "in", "--out", "o.parquet", "--model", checkpoint_path)
    assert done.returncode == 0
    assert "no recordings found; 1 files were passed over" in done.stderr
    assert batch_ser("verify", "o.parquet").returncode == 0


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
