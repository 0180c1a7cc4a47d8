"""Metrics of a job on a Ray cluster: what the node exports is what the job's tables hold."""

import json
import shutil
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from conftest import Runner
from prometheus_client.parser import text_string_to_metric_families
from ray_head import ray_head

from batch_ser.inputs import InputFile
from jobs.progress import Progress
from jobs.ray_metrics import METRICS, counted

Values = dict[str, dict[tuple[str, ...], float]]  # by name, and by the values of the own labels
LABELS = {f"ray_{each.name}_total": each.labels for each in METRICS}


def scraped(address: str) -> Values:
    """Our metrics, as Prometheus reads them."""
    with urllib.request.urlopen(address) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    found: Values = {}
    for sample in (each for family in families for each in family.samples):
        if sample.name.startswith("ray_batch_ser_"):
            labels = tuple(sample.labels[name] for name in LABELS[sample.name])
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


@pytest.mark.ray
def test_a_node_of_a_cluster_exports_what_a_job_has_done(
    calls: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    program: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(calls, tmp_path / "calls")
    (tmp_path / "calls" / "broken.wav").write_text("no audio")
    command = ("run", "--input", "calls", "--out", "out.parquet", "--model", checkpoint_path)
    with ray_head() as head:
        for name, value in head.environment.items():
            monkeypatch.setenv(name, value)
        done = program(*command, "--workers", 1, "--address", head.address)
        assert done.returncode == 3, done.stderr
        values = scraped(head.metrics)
    assert values.keys() == LABELS.keys()
    files = pd.read_parquet(tmp_path / "out.files.parquet")
    [reason] = files["reason"].dropna()
    assert values["ray_batch_ser_files_total"] == {("ok", ""): 4, ("failed", reason): 1}
    assert values["ray_batch_ser_files_listed_total"] == {(): 5}
    audio_s = pytest.approx(files["duration_s"].sum())
    assert values["ray_batch_ser_audio_seconds_total"] == {(): audio_s}
    segments = len(pd.read_parquet(tmp_path / "out.parquet"))
    assert values["ray_batch_ser_segments_total"] == {(): segments}
    stage_s = json.loads((tmp_path / "out.run.json").read_text())["last_run"]["stage_s"]
    expected = {(stage,): pytest.approx(seconds) for stage, seconds in stage_s.items() if seconds}
    assert values["ray_batch_ser_stage_seconds_total"] == expected


@dataclass
class Result:
    """What is counted of a result."""

    files: pa.Table
    segments: list[int]
    stage_s: Counter[str]
    is_partial: bool


class Sum:
    """A counter that keeps what Ray would export."""

    def __init__(self, name: str, sums: Counter[tuple[str, ...]]) -> None:
        self._name, self._sums = name, sums

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0
        self._sums[self._name, *tags.values()] += value  # type: ignore[assignment]


def result(file: InputFile, status: str, duration_s: float, segments: int) -> Result:
    row = {"file": [file.file], "status": [status], "reason": [None], "duration_s": [duration_s]}
    partial = status == "partial"
    stages = Counter(model=0 if partial else 2)
    return Result(pa.table(row), [0] * segments, stages, partial)


def test_a_long_recording_counts_once() -> None:
    """Its audio meanwhile; its segments and the file with its last result, which has them all."""
    hour = InputFile("hour.wav", "/a/hour.wav", 3600 * 16_000)
    progress, sums = Progress(), Counter[tuple[str, ...]]()
    list(progress.listing([hour]))

    def new(name: str, *_: object) -> Sum:
        return Sum(name, sums)

    parts = [("partial", 600.0, 50), ("partial", 1200.0, 50), ("ok", 3600.0, 300)]
    results: Iterator[Result] = (result(hour, *part) for part in parts)
    expected = []
    for each in counted(results, progress, new):  # type: ignore[arg-type]
        expected.append(sums["batch_ser_audio_seconds",])
        progress.done(each)
    assert expected == [0, 600, 1200]
    assert sums == {
        ("batch_ser_audio_seconds",): 3600,
        ("batch_ser_files_listed",): 1,
        ("batch_ser_segments",): 300,
        ("batch_ser_files", "ok", ""): 1,
        ("batch_ser_stage_seconds", "model"): 2,
    }
