"""Alarms: each rule at its threshold, and runs that deserve a warning, or none."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import torch
from conftest import LABELS, Runner
from networks import small_checkpoint
from results import score

from batch_ser.audio.recording import load
from batch_ser.audio.samples import Samples
from batch_ser.results import Output, RunRecord, TableSchemas
from jobs import RunReport
from jobs.adapt import adapt_again
from jobs.alarm_sums import AlarmSums
from jobs.alarms import (
    DUAL_MONO,
    FAR,
    HARDLY,
    LITTLE_SPEECH,
    MOST,
    MOVED,
    NEARLY_ALL,
    SAME,
    Figures,
    alarms,
)
from jobs.report import alarm_lines
from jobs.second_pass import Adaptation
from models import load_checkpoint
from models.checkpoint import save_checkpoint
from models.loading import load_network, resolve

WINDOWS: dict[str, Any] = {"segment": {"method": "window", "window_s": 0.5}}
EIGHT = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
GOOD = Figures(
    files=100,
    segments=1_000,
    asked_s=5_000.0,
    scored_s=3_000.0,
    has_roles=True,
    expect="natural",
    expected={"neutral": 0.4, "happy": 0.2, "sad": 0.2, "angry": 0.2},
    emotions={"neutral": 950, "angry": 50},
    spread=0.25,
    unadapted=dict.fromkeys(EIGHT, 125),
    distance=0.7,
)


def names(figures: Figures) -> list[str]:
    return [each.name for each in alarms(figures)]


def of(share: float, label: str) -> dict[str, int]:
    """1,000 segments of eight labels, a share of which has one, and the others neutral."""
    count = round(1_000 * share)
    return dict.fromkeys(EIGHT, 0) | {label: count, "neutral": 1_000 - count}


def test_a_good_run_has_none() -> None:
    assert names(GOOD) == []


@pytest.mark.parametrize(
    ("name", "above", "below"),
    [
        (
            "little_speech",
            {"scored_s": 4_990 * LITTLE_SPEECH},
            {"scored_s": 5_010 * LITTLE_SPEECH},
        ),
        ("dual_mono", {"dual_mono": 100 * DUAL_MONO}, {"dual_mono": 100 * DUAL_MONO - 1}),
        ("same_answer", {"spread": 0.9 * SAME}, {"spread": 1.1 * SAME}),
        (
            "one_label",
            {"emotions": of(NEARLY_ALL, "angry")},
            {"emotions": of(NEARLY_ALL - 0.01, "angry")},
        ),
        (
            "one_emotion",
            {"unadapted": of(MOST / 8 + 0.01, "angry")},
            {"unadapted": of(MOST / 8 - 0.01, "angry")},
        ),
        (
            "not_as_expected",
            {"unadapted": of(HARDLY - 0.01, "angry"), "expected": {"angry": 0.9}},
            {"unadapted": of(HARDLY + 0.01, "angry"), "expected": {"angry": 0.9}},
        ),
        ("moved", {"moved": 1_000 * MOVED + 1}, {"moved": 1_000 * MOVED}),
        ("far_offset", {"distance": FAR + 0.01}, {"distance": FAR - 0.01}),
    ],
)
def test_each_rule_at_its_threshold(
    name: str, above: dict[str, Any], below: dict[str, Any]
) -> None:
    assert names(replace(GOOD, **above)) == [name]
    assert names(replace(GOOD, **below)) == []
    [alarm] = alarms(replace(GOOD, **above))
    assert "expected" in alarm.message


def test_too_little_data_is_no_alarm() -> None:
    bad = replace(
        GOOD,
        scored_s=0.0,
        dual_mono=9,
        spread=0.0,
        emotions=of(1.0, "angry"),
        unadapted=of(1.0, "angry"),
        distance=9.0,
        moved=1_000,
    )
    assert len(names(replace(bad, files=10, segments=50, asked_s=301.0))) == 7
    assert names(replace(bad, files=9, asked_s=299.0)) == []
    assert names(replace(bad, segments=49, dual_mono=0, asked_s=299.0)) == []
    assert names(Figures()) == []


def test_what_is_expected_is_no_surprise() -> None:
    angry = replace(GOOD, emotions=of(1.0, "angry"), unadapted=of(1.0, "angry"))
    assert names(angry) == ["one_label", "one_emotion"]
    assert "--expect angry=0.9" in alarms(angry)[1].message
    assert names(replace(angry, expected={"angry": 0.9, "neutral": 0.1})) == []


def test_neutral_throughout_is_no_alarm() -> None:
    same = replace(GOOD, emotions=of(0, "angry"), unadapted=of(0, "angry"))
    assert names(same) == []


def test_files_that_failed_for_their_roles_count_as_well() -> None:
    """With `--score`, which scores no mixture of voices."""
    assert names(replace(GOOD, files=0, segments=0, role_missing=14)) == ["dual_mono"]


def test_dual_mono_without_roles_is_no_alarm() -> None:
    assert names(replace(GOOD, dual_mono=100, has_roles=False)) == []


def write(folder: Path, channels: Callable[[Samples], Samples], speech: Samples) -> Path:
    """Twelve files of 5 s."""
    folder.mkdir()
    for number in range(12):
        samples = speech[number * 20_000 :][:80_000]
        soundfile.write(folder / f"{number}.wav", channels(samples), 16_000)
    return folder


def twice(samples: Samples) -> Samples:
    return np.stack([samples, samples], axis=1)


def alarm_names(report: RunReport) -> list[str]:
    return [each.name for each in report.record.alarms]


@pytest.fixture(scope="module")
def adapting_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapting") / "offset.safetensors"
    return small_checkpoint(path, "whisper, offset", LABELS)


def test_reported_everywhere(
    speech: Samples, checkpoint_path: Path, tmp_path: Path, batch_ser: Runner
) -> None:
    """Recordings with one signal on both channels, under `--roles`."""
    inputs, out = write(tmp_path / "in", twice, speech), tmp_path / "results.parquet"
    report = score(inputs, out, checkpoint_path, roles="0=agent,1=customer")
    [alarm] = report.record.alarms
    assert alarm.name == "dual_mono"
    assert alarm.message.startswith("12 of 12 files")
    line = f"warning: dual_mono: {alarm.message}"
    assert report.as_text().endswith(line)
    content = json.loads(out.with_suffix(".run.json").read_text())
    assert content["alarms"] == [{"name": alarm.name, "message": alarm.message}]
    stored = Output(str(out)).run_record()
    assert stored
    assert stored.alarms == list(report.record.alarms)
    assert line in batch_ser("verify", str(out)).stdout
    assert f"dual_mono: {alarm.message}" in batch_ser("status", str(out)).stdout
    status = json.loads(batch_ser("status", str(out), "--json").stdout)
    assert status["alarms"] == content["alarms"]


def test_a_run_json_without_alarms_has_none(
    speech: Samples, checkpoint_path: Path, tmp_path: Path
) -> None:
    out = tmp_path / "results.parquet"
    report = score(write(tmp_path / "in", twice, speech), out, checkpoint_path)
    content = report.record.as_json()
    assert content.pop("alarms") == []
    assert RunRecord.from_json(content).alarms == []


def test_nearly_no_speech(checkpoint_path: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    hiss = 0.01 * rng.standard_normal(16_000 * 310)
    soundfile.write(tmp_path / "in" / "hiss.wav", hiss, 16_000)
    report = score(tmp_path / "in", tmp_path / "results.parquet", checkpoint_path)
    assert alarm_names(report) == ["little_speech"]


def test_a_network_that_answers_the_same(speech: Samples, tmp_path: Path) -> None:
    """Without the weights of its projection, every embedding is the same."""
    shipped = resolve("fast")
    info, network = load_network(Path(shipped))
    with torch.no_grad():
        network.projection_parts()[2].weight.zero_()
    zeros = tmp_path / "zeros.safetensors"
    save_checkpoint(zeros, info, network)
    inputs = write(tmp_path / "in", lambda samples: samples, speech)
    report = score(inputs, tmp_path / "zeros.parquet", zeros, **WINDOWS)
    assert alarm_names(report) == ["same_answer"]
    report = score(inputs, tmp_path / "results.parquet", Path(shipped), **WINDOWS)
    assert "same_answer" not in alarm_names(report)


def test_adapt_renews_them(speech: Samples, adapting_path: Path, tmp_path: Path) -> None:
    """The same tables from embeddings have the same alarms, whatever `run.json` had."""
    inputs, out = write(tmp_path / "in", twice, speech), tmp_path / "results.parquet"
    options = WINDOWS | {"expect": "balanced", "roles": "0=agent,1=customer"}
    expected = score(inputs, out, adapting_path, **options).record.alarms
    assert expected
    path = out.with_suffix(".run.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"alarms": []}))
    assert adapt_again(str(out)).record.alarms == expected


def test_sums_do_not_depend_on_how_rows_come(
    speech: Samples, adapting_path: Path, tmp_path: Path
) -> None:
    inputs, out = write(tmp_path / "in", lambda samples: samples, speech), tmp_path / "out.parquet"
    record = score(inputs, out, adapting_path, embeddings=True, **WINDOWS).record
    checkpoint, rows = load_checkpoint(str(adapting_path)), pq.read_table(out)
    schemas = TableSchemas(LABELS, embedding_width=checkpoint.embedding_width)
    found = []
    for count in (len(rows), 7):
        sums = AlarmSums(checkpoint, schemas, Adaptation("archive", "natural"))
        for start in range(0, len(rows), count):
            sums.add(rows.slice(start, count))
        found.append(sums.figures(record))
    together, apart = found
    assert together.segments == record.counts.segments
    assert together.unadapted == apart.unadapted
    assert together.spread == pytest.approx(apart.spread)


def test_a_message_cannot_forge_lines(
    speech: Samples, checkpoint_path: Path, tmp_path: Path
) -> None:
    report = score(write(tmp_path / "in", twice, speech), tmp_path / "o.parquet", checkpoint_path)
    content = report.record.as_json() | {"alarms": [{"name": "a", "message": "b\nc"}]}
    assert alarm_lines(RunRecord.from_json(content)) == ["warning: a: b?c"]


@pytest.mark.parametrize("is_noise", [False, True])
def test_real_orders_and_noise(is_noise: bool, shared: Path, tmp_path: Path) -> None:
    """Ordinary speech has no alarm; white noise instead, in windows, is unlike all training."""
    (tmp_path / "in").mkdir()
    rng = np.random.default_rng(0)
    for path in sorted((shared / "data" / "orders").glob("*.opus"))[:60]:
        samples = load(str(path), 16_000)
        if is_noise:
            samples = 0.05 * rng.standard_normal(len(samples), dtype=np.float32)
        soundfile.write(tmp_path / "in" / f"{path.stem}.wav", samples, 16_000)
    options: dict[str, Any] = {"segment": {"method": "whole"}} if is_noise else {}
    report = score(tmp_path / "in", tmp_path / "out.parquet", Path("fast"), **options)
    assert ("far_offset" in alarm_names(report)) == is_noise
    assert bool(report.record.alarms) == is_noise
