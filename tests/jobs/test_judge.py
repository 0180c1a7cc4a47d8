"""`batch-ser judge`: an output judged by labels of people, and how frequent emotions are in it."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from call_tables import LABELS, ROLE_SETTING, SEGMENTS, Rows, drawn_calls, files_row, segment_rows
from call_tables import write_output as write_tables
from conftest import Runner
from sklearn.metrics import confusion_matrix, precision_score, recall_score

from batch_ser.errors import MismatchError, UsageError
from jobs.judge import judge, share
from jobs.judge.judged import read_judged
from jobs.judge.measuring import measure
from jobs.label_tables import COLUMNS
from jobs.scored_segments import ScoredSegments

CALLS = 60
FILES = {"report.txt", "metrics.json", "confusion.png", "reliability.png", "thresholds.png"}
Labelled = list[tuple[dict[str, Any], str, str, float | str]]  # segment, label, annotator, weight


@pytest.fixture(scope="module")
def segments() -> Rows:
    return drawn_calls(CALLS)[1]


@pytest.fixture
def out(tmp_path: Path, segments: Rows) -> Path:
    out = tmp_path / "out.parquet"
    files, _, speech = drawn_calls(CALLS)
    write_tables(out, files, segments, speech, columns=("queue",), roles=ROLE_SETTING)
    return out


def write_labels(path: Path, labels: Labelled) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row, label, who, weight in labels:
            where = (row[name] for name in ("file", "channel", "start_s", "end_s", "segment"))
            writer.writerow([*where, label, who, weight])
    return path


def drawn_labels(segments: Rows, seed: int = 0, weight: float | str = 1.0) -> Labelled:
    """What people hear: mostly what the model is sure of."""
    draw, found = np.random.default_rng(seed), []
    for row in segments:
        p = np.array([row[f"p_{label}"] for label in LABELS]) ** 2
        found.append((row, str(draw.choice(LABELS, p=p / p.sum())), "anna", weight))
    return found


def judged(out: Path, labels: Labelled, precision: float = 0.8) -> dict[str, Any]:
    """The figures alone, without pictures."""
    path = write_labels(out.with_name("labels.csv"), labels)
    return measure(read_judged(ScoredSegments.of(str(out)), path), precision)


def test_figures_of_all_segments_are_those_of_sklearn(out: Path, segments: Rows) -> None:
    """All have one weight, and the labels of people are all that there is to know."""
    labels = drawn_labels(segments)
    found = judged(out, labels, precision=0.6)
    truth, predicted = [each[1] for each in labels], [row["emotion"] for row in segments]
    uar = recall_score(truth, predicted, average="macro")
    assert found["headline"]["uar"]["value"] == pytest.approx(uar)
    assert 0 < found["headline"]["uar"]["low"] < uar < found["headline"]["uar"]["high"] < 1
    matrix = confusion_matrix(truth, predicted, labels=LABELS)
    counts = pd.DataFrame(found["confusion"]["segments"]).T.loc[[*LABELS], [*LABELS]]
    np.testing.assert_array_equal(counts, matrix)
    for label, each in found["prevalence"].items():
        own = [row for row in segments if not row["crosstalk"]]
        assert each["value"] == pytest.approx(truth.count(label) / len(truth))
        assert each["low"] < each["value"] < each["high"]
        assert each["mean_probability"] == pytest.approx(
            np.mean([row[f"p_{label}"] for row in own]), abs=1e-6
        )
    for label, each in found["thresholds"].items():
        point = each["wanted"]
        above = [row[f"p_{label}"] >= point["threshold"] - 1e-6 for row in segments]
        carried = [name == label for name in truth]
        assert point["precision"]["value"] == pytest.approx(precision_score(carried, above))
        assert point["recall"]["value"] == pytest.approx(recall_score(carried, above))
        assert point["precision"]["value"] >= 0.6
        scores = np.array([row[f"p_{label}"] for row in segments])
        for threshold in scores[~np.array(above)]:
            assert np.mean(np.array(carried)[scores >= threshold]) < 0.6, "the lowest threshold"


def test_weights_undo_the_sampling(out: Path, segments: Rows) -> None:
    """Labels of every angry segment and of each fourth other are as labels of all."""
    everything = drawn_labels(segments)
    whole = judged(out, everything)
    groups = {True: [], False: []}  # type: dict[bool, Labelled]
    for each in everything:
        groups[each[0]["emotion"] == "angry"].append(each)
    some = [(row, label, who, 4.0) for row, label, who, _ in groups[False][::4]]
    found = judged(out, groups[True] + some)
    biased = judged(out, [(*each[:3], "") for each in groups[True] + some])
    assert found["weighted"]
    assert not biased["weighted"]
    assert any("no weights" in note for note in biased["notes"])
    true = whole["prevalence"]["angry"]["value"]
    each = found["prevalence"]["angry"]
    assert each["low"] < true < each["high"]
    assert abs(each["value"] - true) < 0.05 < abs(biased["prevalence"]["angry"]["value"] - true)
    assert found["headline"]["accuracy"]["value"] == pytest.approx(
        whole["headline"]["accuracy"]["value"], abs=0.08
    )


def test_each_label_counts_in_part_where_annotators_disagree(out: Path, segments: Rows) -> None:
    one, other, *rest = segments[:20]
    labels: Labelled = [(row, "neutral", who, 1.0) for row in rest for who in ("anna", "ben")]
    labels += [(one, "angry", "anna", 1.0), (one, "sad", "ben", 1.0), (other, "tense", "ben", 1.0)]
    found = judged(out, labels)
    assert found["segments"] == 20
    assert found["labels_of_people"] == ["tense"]
    assert {name: each["value"] for name, each in found["prevalence"].items()} == pytest.approx(
        {"neutral": 0.9, "happy": 0, "angry": 0.025, "sad": 0.025, "tense": 0.05}
    )
    assert found["agreement"]["segments"] == 19
    assert found["agreement"]["agreement"] == pytest.approx(18 / 19)


def test_a_weight_that_one_annotator_lacks(out: Path, segments: Rows) -> None:
    """A segment has one weight, whichever of its rows states it."""
    row, *rest = segments[:20]
    labels: Labelled = [(each, "neutral", "anna", 2.0) for each in rest]
    labels += [(row, "angry", "anna", ""), (row, "angry", "ben", 19 * 2.0)]
    found = judged(out, labels)
    assert found["weighted"]
    assert found["prevalence"]["angry"]["value"] == pytest.approx(0.5)


def test_a_report_that_cannot_be_written(out: Path, segments: Rows, batch_ser: Runner) -> None:
    write_labels(out.with_name("labels.csv"), drawn_labels(segments))
    done = batch_ser("judge", out, "--labels", "labels.csv", "--dest", "labels.csv/report")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    assert "expected a folder, found a file" in done.stderr


def test_the_report_and_its_files(out: Path, segments: Rows, batch_ser: Runner) -> None:
    labels = [each for each in drawn_labels(segments, weight=2.0) if each[1] != "sad"]
    write_labels(out.with_name("labels.csv"), labels)
    done = batch_ser("judge", out, "--labels", "labels.csv", "--precision", 0.99)
    assert done.returncode == 0, done.stderr
    folder = out.with_name("out.judge")
    assert {path.name for path in folder.iterdir()} == FILES
    assert (folder / "report.txt").read_text() in done.stdout.replace("\n\nwritten", "\nwritten")
    assert json.loads((folder / "metrics.json").read_text())["by"] == "labels.csv"
    assert "No segment is labelled sad" in done.stdout
    assert "none reaches it" in done.stdout
    for path in folder.glob("*.png"):
        assert path.stat().st_size > 5_000
    again = batch_ser("judge", out, "--labels", "labels.csv", "--precision", 0.99)
    assert again.stdout == done.stdout, "nothing is drawn anew"
    (folder / "mine.txt").write_text("mine")
    refused = batch_ser("judge", out, "--labels", "labels.csv")
    assert (refused.returncode, "found mine.txt" in refused.stderr) == (2, True)


@pytest.mark.parametrize("count", [1, 2, 8])
def test_few_labels_have_sentences(tmp_path: Path, count: int) -> None:
    """Also of one segment, with a label that no checkpoint has, the figures are finite."""
    rows = [row for n in range(4) for row in segment_rows(SEGMENTS, f"{n}.wav")]
    out = tmp_path / "out.parquet"
    write_tables(out, [files_row([], f"{n}.wav") for n in range(4)], rows, [])
    names: Sequence[str] = ("tense", "angry", "neutral")
    labels: Labelled = [(row, names[n % 3], "anna", 1.5) for n, row in enumerate(rows[::3][:count])]
    path = write_labels(out.with_name("labels.csv"), labels)
    found = judge(str(out), str(path)).metrics
    text = " ".join(found["notes"])
    assert f"Only {count} segments are labelled" in text
    assert "recording" in text
    assert "No segment is labelled" in text
    assert bool(found["headline"]) == (count > 1)
    assert "NaN" not in json.dumps(found)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ("file,label\nx.wav,sad\n", [], "not one label fits a segment of"),
        ("file,channel,segment,label\ncall00.wav,0,0,\n", [], "no_answer 1"),
        ("hello", [], "expected a column named file"),
        (None, [], "there is no such label file"),
        ("file,label\nx.wav,sad\n", ["--precision", "1.5"], "expected a share"),
        ("file,label\nx.wav,sad\n", ["--dest", "out.parquet"], "is a file"),
    ],
)
def test_what_cannot_be_judged(
    out: Path, labels: str | None, options: list[str], message: str, batch_ser: Runner
) -> None:
    if labels is not None:
        out.with_name("labels.csv").write_text(labels)
    done = batch_ser("judge", out, "--labels", "labels.csv", *options)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert not out.with_name("out.judge").exists()


def test_outputs_that_are_not_complete(tmp_path: Path) -> None:
    with pytest.raises(MismatchError, match="no complete output"):
        judge(str(tmp_path / "out.parquet"), "labels.csv")
    with pytest.raises(UsageError, match="expected a folder of this machine"):
        judge("s3://bucket/out.parquet", "labels.csv")


def test_intervals_hold_the_truth() -> None:
    """Of samples from archives whose recordings differ, about 95 in 100 do."""
    draw, held = np.random.default_rng(0), []
    for _ in range(400):
        recordings = draw.beta(2, 6, 60)
        units = np.repeat(np.arange(60), 4)
        hits = (draw.random(240) < recordings[units]).astype(float)
        found = share(hits, draw.uniform(1, 3, 240), units)
        assert found
        assert found.low is not None
        assert found.high is not None
        held.append(found.low < 0.25 < found.high)
    assert 0.92 < np.mean(held) < 0.99


def test_intervals_of_all_or_nothing() -> None:
    """Ten of ten are not certainty; nor is a single recording an archive."""
    ones, units = np.ones(10), np.arange(10)
    found = share(ones, ones, units)
    assert found
    assert (found.value, found.high) == (1.0, pytest.approx(1.0))
    assert found.low is not None
    assert 0.6 < found.low < 0.75
    alone = share(ones, ones, np.zeros(10, np.int64))
    assert alone
    assert (alone.low, alone.high) == (None, None)
    assert share(ones[:0], ones[:0], units[:0]) is None
