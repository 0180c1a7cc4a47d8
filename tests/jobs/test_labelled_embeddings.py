"""`train --recipe head --embeddings`: labels of an output's segments, and no recording."""

import csv
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import LABELS, Runner
from networks import small_checkpoint
from results import score

from batch_ser.errors import MismatchError, UsageError
from jobs.label_tables import COLUMNS
from jobs.labelled_embeddings import labelled_embeddings
from models.checkpoint import read_info
from models.loading import load_checkpoint

WINDOWS: dict[str, Any] = {"segment": {"method": "window", "window_s": 1.0}}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    return small_checkpoint(path, "whisper, offset", LABELS)


@pytest.fixture(scope="module")
def out(archive: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of windows, whose recordings are gone."""
    folder = tmp_path_factory.mktemp("scored")
    shutil.copytree(archive, folder / "calls")
    score(folder / "calls", folder / "results.parquet", start, **WINDOWS)
    shutil.rmtree(folder / "calls")
    return folder / "results.parquet"


def write_labels(
    path: Path, rows: pd.DataFrame, labels: Sequence[str], who: str = "anna", **rest: Any
) -> Path:
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(COLUMNS)
        for (_, row), label in zip(rows.iterrows(), labels, strict=True):
            where: Mapping[str, Any] = dict(row) | rest
            writer.writerow([*(where[name] for name in COLUMNS[:5]), label, who, 1.0])
    return path


def labels_of(rows: pd.DataFrame) -> list[str]:
    return [LABELS[number % len(LABELS)] for number in range(len(rows))]


def test_segments_have_the_embeddings_of_the_output(out: Path, start: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(out).iloc[::3]
    path = write_labels(tmp_path / "labels.csv", rows, labels_of(rows))
    found = labelled_embeddings(str(out), [f"manifest:{path}"], start, None)
    stored = pd.read_parquet(out.with_suffix("").with_suffix(".embeddings.parquet"))
    keys = ["file", "channel", "segment"]
    expected = rows[keys].merge(stored, on=keys)
    assert sorted(each.path.as_posix() for each in found.utterances) == sorted(rows["file"])
    order = np.lexsort(np.stack(expected["embedding"].to_list()).T)
    mine = np.lexsort(found.embeddings.T)
    assert np.array_equal(
        np.stack(expected["embedding"].to_list())[order], found.embeddings[mine].astype(np.float32)
    )
    assert np.allclose(found.durations_s.sum(), (rows["end_s"] - rows["start_s"]).sum())
    assert found.archive.segments == len(stored)
    assert np.allclose(found.archive.total, np.stack(stored["embedding"].to_list()).sum(0))
    assert found.offset is not None


def test_the_command(out: Path, start: Path, tmp_path: Path, program: Runner) -> None:
    """From labels to a checkpoint, without a recording; the same command does the same again."""
    rows = pd.read_parquet(out)
    write_labels(tmp_path / "labels.csv", rows, labels_of(rows))
    command = ["train", "--recipe", "head", "--init", start, "--embeddings", out]
    command += ["--data", "manifest:labels.csv", "--out", "mine.safetensors"]
    for _ in range(2):
        done = program(*command)
        assert done.returncode == 0, done.stderr
    assert "beside" in done.stdout
    assert "UAR" in done.stdout
    info = read_info(tmp_path / "mine.safetensors")
    assert info.labels == LABELS
    assert info.corpora[0]["name"] == "manifest:labels"
    assert load_checkpoint(tmp_path / "mine.safetensors").has_offset


def test_disputed_and_unknown_ones_are_counted(
    out: Path, start: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_parquet(out).iloc[:12]
    path = write_labels(tmp_path / "labels.csv", rows, ["angry"] * 6 + ["sad"] * 6)
    write_labels(path, rows.iloc[:2], ["happy", "angry"], who="bert")
    write_labels(path, rows.iloc[:1], ["sad"], file="gone.wav")
    found = labelled_embeddings(str(out), [f"manifest:{path}"], start, None)
    assert len(found.utterances) == 11
    assert "conflicting 1" in capsys.readouterr().err


def test_labels_of_ones_own(out: Path, start: Path, tmp_path: Path) -> None:
    """New ones need no option; `--labels` picks and merges."""
    rows = pd.read_parquet(out).iloc[:12]
    path = write_labels(tmp_path / "labels.csv", rows, ["frustrated", "angry", "sad"] * 4)
    data = [f"manifest:{path}"]
    every = labelled_embeddings(str(out), data, start, None)
    assert {each.label for each in every.utterances} == {"frustrated", "angry", "sad"}
    merged = labelled_embeddings(str(out), data, start, "cross=frustrated+angry,sad")
    assert sorted({each.label for each in merged.utterances}) == ["cross", "sad"]
    picked = labelled_embeddings(str(out), data, start, "angry,sad")
    assert len(picked.utterances) == 8


def test_what_cannot_be_used(out: Path, start: Path, tmp_path: Path) -> None:
    rows = pd.read_parquet(out).iloc[:8]
    path = write_labels(tmp_path / "labels.csv", rows, ["angry", "sad"] * 4)
    data = [f"manifest:{path}"]
    other = small_checkpoint(tmp_path / "other.safetensors", "whisper, offset", LABELS, seed=1)
    with pytest.raises(UsageError, match="give the one that it was scored with"):
        labelled_embeddings(str(out), data, other, None)
    with pytest.raises(UsageError, match="expected one manifest:FILE"):
        labelled_embeddings(str(out), ["ravdess:x"], start, None)
    with pytest.raises(MismatchError, match="no complete output"):
        labelled_embeddings(str(tmp_path / "none.parquet"), data, start, None)
    one = write_labels(tmp_path / "one.csv", rows, ["angry"] * 8)
    with pytest.raises(UsageError, match="expected two labels or more"):
        labelled_embeddings(str(out), [f"manifest:{one}"], start, None)


def test_an_output_without_embeddings(archive: Path, checkpoint_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    score(archive, out, checkpoint_path, **WINDOWS)
    rows = pd.read_parquet(out).iloc[:8]
    path = write_labels(tmp_path / "labels.csv", rows, ["angry", "sad"] * 4)
    with pytest.raises(UsageError, match="found no embeddings"):
        labelled_embeddings(str(out), [f"manifest:{path}"], checkpoint_path, None)
