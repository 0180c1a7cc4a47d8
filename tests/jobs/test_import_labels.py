"""`batch-ser import-labels`: files of several programs become one table, and nothing is lost."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import label_files
import numpy as np
import pandas as pd
import pytest
import soundfile
from call_tables import (
    LABELS,
    ROLE_SETTING,
    SEGMENTS,
    Rows,
    drawn_calls,
    files_row,
    segment_rows,
    write_output,
)
from conftest import Runner
from label_files import Answers, Task, annotation, data_of, write_sample

from batch_ser.audio.samples import Samples
from batch_ser.errors import MismatchError, UsageError
from jobs.import_labels import import_labels
from train.data.manifest import read_manifest

CALLS = 30
CERTAIN = (1.0, 0.0, 0.0, 0.0)
WORDS = {"neutral": "Neutral", "happy": "joy", "angry": "ANGER", "sad": "Sadness"}


@pytest.fixture
def segments() -> Rows:
    """Segments of one channel: not every format states the channel."""
    return [row for row in drawn_calls(CALLS)[1] if row["channel"] == 1]


@pytest.fixture
def out(tmp_path: Path, segments: Rows) -> Path:
    out = tmp_path / "out.parquet"
    files, _, speech = drawn_calls(CALLS)
    write_output(out, files, segments, speech, columns=("queue",), roles=ROLE_SETTING)
    return out


@pytest.fixture
def tasks(segments: Rows) -> list[Task]:
    return label_files.tasks(segments)


@pytest.fixture
def folder(tmp_path: Path, tasks: list[Task]) -> Path:
    """A sample that is not labelled yet."""
    write_sample(tmp_path / "sample", tasks)
    return tmp_path / "sample"


def drawn_answers(tasks: list[Task], seed: int = 0) -> dict[Task, str]:
    draw = np.random.default_rng(seed)
    return {task: str(draw.choice(LABELS)) for task in tasks}


def words(answers: dict[Task, str]) -> dict[Task, str]:
    return {task: WORDS[label] for task, label in answers.items()}


def imported(out: Path, paths: list[Path], **options: Any) -> pd.DataFrame:
    import_labels(
        [str(path) for path in paths], str(out), str(out.with_name("labels.csv")), **options
    )
    return pd.read_csv(out.with_name("labels.csv"))


def problems(out: Path) -> pd.DataFrame:
    return pd.read_csv(out.with_name("labels.problems.csv"))


@pytest.mark.parametrize("write", label_files.WRITERS, ids=lambda write: write.__name__)
def test_each_format_comes_back(
    write: Callable[[Path, Answers], list[Path]], out: Path, folder: Path, tasks: list[Task]
) -> None:
    """Whatever annotators call the labels, each is at its segment, with its weight."""
    answers = drawn_answers(tasks)
    found = imported(out, write(folder, words(answers)))
    assert len(found) == len(tasks) > 20
    assert problems(out).empty
    rows = found.set_index(["file", "channel", "segment"])
    for task, label in answers.items():
        row = rows.loc[(task.file, task.channel, task.segment)]
        assert row["label"] == label
        assert (row["start_s"], row["end_s"]) == (task.start_s, task.end_s)
        assert row["weight"] == task.weight
    assert found["annotator"].nunique() == 1


def test_a_training_takes_the_table_with_its_weights(
    out: Path, folder: Path, tasks: list[Task], speech: Samples
) -> None:
    answers = drawn_answers(tasks)
    imported(out, label_files.label_studio(folder, answers))
    for file in {task.file for task in tasks}:
        length_s = max(task.end_s for task in tasks if task.file == file)
        samples = np.resize(speech, (round(length_s * 8_000) + 1, 2))
        (out.parent / file).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(out.parent / file, samples, 8_000, format="WAV")
    found = read_manifest(out.with_name("labels.csv"))
    expected = {(each.file, each.channel, each.start_s): each for each in tasks}
    assert len(found) == len(expected)
    for utterance in found:
        name = str(utterance.path.relative_to(out.parent))
        task = expected[name, utterance.channel, utterance.start_s]
        assert (utterance.label, utterance.weight) == (answers[task], task.weight)


def test_two_annotators(out: Path, folder: Path, tasks: list[Task], batch_ser: Runner) -> None:
    """Both rows stay, what they disagree about is listed, and the agreement is that of sklearn."""
    metrics = pytest.importorskip("sklearn.metrics")
    one, other = drawn_answers(tasks), drawn_answers(tasks, seed=1)
    other |= {task: one[task] for task in tasks[::2]}
    paths = label_files.label_studio(folder, one) + label_files.json_min(folder, other)
    done = batch_ser("import-labels", *paths, "--results", out, "--dest", "labels.csv")
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(out.with_name("labels.csv"))
    assert len(found) == 2 * len(tasks)
    kappa = metrics.cohen_kappa_score([*one.values()], [other[task] for task in one])
    same = 100 * np.mean([one[task] == other[task] for task in tasks])
    assert f"{len(tasks)} segments, {same:.1f} % the same, Cohen's kappa {kappa:.2f}" in done.stdout
    listed = problems(out)
    different = sum(one[task] != other[task] for task in tasks)
    assert 0 < different == (listed["reason"] == "conflicting").sum() / 2
    assert f"conflicting {2 * different}" in done.stdout


def test_each_annotator_has_a_copy_of_the_sample(
    tmp_path: Path, out: Path, tasks: list[Task]
) -> None:
    """Their files have the same names, and the annotators those of the folders."""
    answers = drawn_answers(tasks)
    paths: list[Path] = []
    for name in ("anna", "ben", "eve"):
        write_sample(tmp_path / name, tasks)
        (tmp_path / name / "clips").mkdir()
    paths += label_files.audacity_clips(tmp_path / "anna" / "clips", answers)
    paths += label_files.audformat_of_clips(tmp_path / "ben", answers)
    paths += label_files.filled_table(tmp_path / "eve", answers)
    found = imported(out, paths)
    assert found["annotator"].value_counts().to_dict() == dict.fromkeys(
        ("anna", "ben", "eve"), len(tasks)
    )
    assert problems(out).empty


def test_what_is_no_label_is_listed(out: Path, folder: Path, tasks: list[Task]) -> None:
    """Skipped, undecided, contradictory, unknown, elsewhere: each has its reason and place."""
    good, *rest = tasks[:10]
    sad = [annotation("sad", 1)]
    several = [annotation("sad", 1), annotation("angry", 1), annotation("sad", 2)]
    made = [
        (data_of(good), [annotation("angry", 1)]),
        (data_of(rest[0]), []),
        (data_of(rest[1]), [annotation("", 1, was_cancelled=True)]),
        (data_of(rest[2]), [annotation("Cannot tell", 1)]),
        (data_of(rest[3]) | {"file": "x.wav"}, sad),
        (data_of(rest[4]) | {"segment": 99}, sad),
        (data_of(rest[5]) | {"channel": 7}, sad),
        (data_of(rest[6]) | {"start_s": 1e9}, sad),
        (data_of(rest[7]) | {"end_s": 190.0}, sad),
        (data_of(rest[8]), several),
        (data_of(good), [annotation("ang", 1)]),
        (data_of(good), [annotation("=1+1", 3)]),
    ]
    found = [
        {"id": number, "data": data, "annotations": annotations}
        for number, (data, annotations) in enumerate(made, 1)
    ]
    path = folder / "export.json"
    path.write_text(json.dumps(found))
    rows = imported(out, [path])
    kept = [(row.file, row.segment, row.label, str(row.annotator)) for row in rows.itertuples()]
    ten = rest[8]
    assert sorted(kept) == sorted(
        [(good.file, good.segment, "angry", "1"), (ten.file, ten.segment, "sad", "2")]
    )
    listed = problems(out)
    assert set(listed["labels"]) == {str(path)}
    assert sorted(zip(listed["place"], listed["reason"], strict=True)) == sorted(
        [
            ("task 2", "no_answer"),
            ("task 3", "no_answer"),
            ("task 4", "no_answer"),
            ("task 5", "no_file"),
            ("task 6", "no_segment"),
            ("task 7", "no_channel"),
            ("task 8", "out_of_bounds"),
            ("task 9", "other_times"),
            ("task 10", "contradicting"),
            ("task 10", "contradicting"),
            ("task 11", "repeated"),
            ("task 12", "malformed"),
        ]
    )


def test_labels_of_their_own_stay_unless_they_are_mapped(
    out: Path, folder: Path, tasks: list[Task], batch_ser: Runner
) -> None:
    answers = dict.fromkeys(tasks, "Frustrated") | {tasks[0]: "angry", tasks[1]: "Tense"}
    (path,) = label_files.other_table(folder, answers)
    arguments = ("import-labels", path, "--results", out, "--dest", "labels.csv")
    done = batch_ser(*arguments)
    assert "labels that the checkpoint does not have: frustrated, tense" in done.stdout
    assert set(pd.read_csv(out.with_name("labels.csv"))["label"]) == {
        "frustrated",
        "angry",
        "tense",
    }
    done = batch_ser(*arguments, "--map", "angry=frustrated+tense")
    assert done.returncode == 0, done.stderr
    assert set(pd.read_csv(out.with_name("labels.csv"))["label"]) == {"angry"}
    for wrong in ("frustrated", "angry=", "angry=a,sad=a"):
        done = batch_ser(*arguments, "--map", wrong)
        assert (done.returncode, "expected LABEL=WORD" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        ((20.0, 24.0), ""),  # as the segment
        ((21.0, 25.0), ""),  # three quarters of both
        ((21.9, 24.0), ""),  # a little more than half of the segment
        ((22.1, 24.0), "no_segment"),  # less than half of it
        ((18.1, 26.0), ""),  # a little more than half of the label
        ((10.0, 30.0), "no_segment"),  # a label about more
        ((24.0, 24.0), "no_segment"),
        ((23.9, 35.0), "ambiguous"),  # two channels speak
        ((50.0, 51.0), "no_segment"),
    ],
)
def test_times_match_by_half(tmp_path: Path, times: tuple[float, float], reason: str) -> None:
    spans = [(0, 20.0, 24.0), (0, 26.0, 34.0), (1, 25.0, 33.0)]
    rows = segment_rows([(*span, False, CERTAIN) for span in spans])
    out = tmp_path / "out.parquet"
    write_output(out, [files_row([])], rows, [])
    (tmp_path / "a.txt").write_text(f"{times[0]}\t{times[1]}\tsad\n20\t24\tangry\n")
    if reason:
        imported(out, [tmp_path / "a.txt"])
        assert problems(out)["reason"].tolist() == [reason]
    else:
        with pytest.raises(UsageError, match="not one label fits"):
            imported(out, [tmp_path / "a.txt"])  # the same segment has two labels of one annotator
        assert set(problems(out)["reason"]) == {"contradicting"}


def test_numbers_without_a_channel(tmp_path: Path) -> None:
    """The number counts where it can only be one channel's, or the times tell which."""
    spans = [(0, 1.0, 3.0), (0, 4.0, 6.0), (1, 3.5, 5.0), (1, 7.0, 9.0), (1, 10.0, 12.0)]
    out = tmp_path / "out.parquet"
    rows = segment_rows([(*span, False, CERTAIN) for span in spans])
    write_output(out, [files_row([])], rows, [])
    lines = ("2,,", "0,1,3", "1,1,3", "1,,", "2,10,11", "7,,")
    text = "".join(f"a.wav,{line},label{number}\n" for number, line in enumerate(lines))
    (tmp_path / "mine.csv").write_text(f"file,segment,start_s,end_s,label\n{text}")
    found = imported(out, [tmp_path / "mine.csv"])
    kept = [*zip(found["channel"], found["segment"], found["label"], strict=True)]
    assert kept == [(0, 0, "label1"), (1, 2, "label0")]
    reasons = ["no_segment", "ambiguous", "other_times", "no_segment"]
    assert problems(out)["reason"].tolist() == reasons


def test_text_that_is_no_unicode_is_listed(out: Path, tasks: list[Task]) -> None:
    """JSON can hold halves of characters, which no file can."""
    (path,) = label_files.json_min(out.parent, drawn_answers(tasks))
    content = json.loads(path.read_text())
    content[0]["file"] = "\ud800.wav"
    content[1]["emotion"] = "\ud800"
    path.write_text(json.dumps(content))
    assert len(imported(out, [path])) == len(tasks) - 2
    assert problems(out)["reason"].tolist() == ["no_file", "no_answer"]


def test_a_recording_in_two_folders(tmp_path: Path) -> None:
    """A track is that of the recording with the same folder; without one it could be either."""
    names = ("a/call.wav", "b/call.wav")
    rows = [row for each in names for row in segment_rows([(0, 1.0, 3.0, False, CERTAIN)], each)]
    out = tmp_path / "out.parquet"
    write_output(out, [files_row([], each) for each in names], rows, [])
    for folder in ("b", "elsewhere"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "call.txt").write_text("1\t3\tangry\n")
    found = imported(out, [tmp_path / "b" / "call.txt", tmp_path / "elsewhere" / "call.txt"])
    assert found["file"].tolist() == ["b/call.wav"]
    assert found["annotator"].tolist() == ["b"]
    assert problems(out)["reason"].tolist() == ["ambiguous"]


def test_tiers_are_channels_or_roles(tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    write_output(out, [files_row([])], segment_rows(SEGMENTS), [])
    tiers = {
        "customer": [(6.0, 10.0, 'ang"ry'), (18.0, 24.0, "sad")],
        "ch0": [(0.5, 6.5, "happy")],
        "words": [(12.0, 14.0, "hello")],
    }
    path = tmp_path / "a.TextGrid"
    path.write_text(label_files.textgrid(tiers, short=False))
    found = imported(out, [path])
    kept = list(zip(found["channel"], found["segment"], found["label"], strict=True))
    assert kept == [(0, 0, "happy"), (1, 0, 'ang"ry'), (1, 1, "sad")]
    assert problems(out)["reason"].tolist() == ["no_channel"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "not JSON"),
        ("a.json", b'{"tasks": 1}', "found JSON of another kind"),
        ("a.json", b"[1]", "found JSON of another kind"),
        ("a.json", b'[{"weight": NaN}]', "found NaN, expected a number"),
        ("a.json", b"[" * 100_000, "not JSON"),
        ("a.json", b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "a">]>', "found XML or HTML"),
        ("a.xml", b"<x/>", "found the ending .xml"),
        ("a.eaf", b"<x/>", "found the ending .eaf"),
        ("a", b"", "found the ending (none)"),
        ("a.txt", b"\xff\xfe\x00", "no text"),
        ("a.txt", b"\x00\x01\x02", "zero bytes"),
        ("a.TextGrid", b"hello", "found the end of the file"),
        ("a.TextGrid", b'"ooTextFile" "TextGrid" 0 1 <exists> 1e9', "found the size 1e+09"),
        (
            "a.TextGrid",
            b'"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "a" 0 1 2 0',
            "the end",
        ),
        ("a.csv", b"file,start_s\na.wav,1\n", "expected labels in a column"),
        ("a.csv", b"name\na.wav\n", "expected a column named file"),
        ("a.csv", b"clip,file,label,confidence,weight\na,b,c,1,1\n", "without a column answer"),
        ("a.csv", b"file,label\n\xe4.wav,sad\n", "is not UTF-8"),
        ("missing.csv", None, "there is no such label file"),
    ],
)
def test_other_files_are_refused(
    out: Path, name: str, content: bytes | None, message: str, batch_ser: Runner
) -> None:
    if content is not None:
        out.with_name(name).write_bytes(content)
    done = batch_ser("import-labels", name, "--results", out, "--dest", "labels.csv")
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
    assert not out.with_name("labels.csv").exists()


def test_what_is_there_is_not_overwritten(out: Path, folder: Path, tasks: list[Task]) -> None:
    (path,) = label_files.filled_table(folder, drawn_answers(tasks))
    labels = out.with_name("labels.csv")
    labels.write_text("file,label\nmine.wav,sad\n")
    with pytest.raises(MismatchError, match="is not what this command writes"):
        imported(out, [path])
    with pytest.raises(UsageError, match="this is one of the label files"):
        import_labels([str(path)], str(out), str(path))
    labels.unlink()
    assert len(imported(out, [path])) == len(imported(out, [path])) == len(tasks)
