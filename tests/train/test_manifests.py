"""Folders of labels and manifests, checked line by line."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from labelled import ENTRIES, record, write_csv

from batch_ser.audio.samples import Samples
from batch_ser.errors import UsageError
from train.data.corpora import read_data
from train.data.manifest import read_folder, read_manifest
from train.data.overview import overview


def test_a_folder_of_labels(
    tmp_path: Path, speech: Samples, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "calls"
    for number, name in enumerate(("Anger/a.wav", "Anger/x/y/b.FLAC", "neutral/c.wav", "d.wav")):
        record(root / name, speech, number)
    (root / "notes").mkdir()
    (root / "notes" / "readme.txt").write_text("no recordings, no label")
    utterances = read_data([f"folder:{root}"])
    assert [each.label for each in utterances] == ["angry", "angry", "neutral"]
    assert {(each.speaker, each.sex, each.language) for each in utterances} == {("", "", "")}
    assert utterances[1].name == "folder:calls:Anger/x/y/b.FLAC"
    assert "1 recordings are in no sub-folder" in capsys.readouterr().err
    assert "unknown speakers" in overview(utterances)


def test_folders_that_are_no_labels_are_listed(tmp_path: Path, speech: Samples) -> None:
    for number, name in enumerate(("Irate/a.wav", "sad/b.wav", "Xyz/c.wav", "Xyz/d.wav")):
        record(tmp_path / name, speech, number)
    with pytest.raises(UsageError) as caught:
        read_folder(tmp_path)
    assert all(part in str(caught.value) for part in ("Irate: 1", "Xyz: 2", "--labels", "neutral"))
    assert "sad: 1" not in str(caught.value)
    found = read_folder(tmp_path, own_labels=("irate", "xyz"))
    assert [each.label for each in found] == ["irate", "xyz", "xyz", "sad"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="found 0 recordings"):
        read_folder(tmp_path / "empty")


def test_manifests_of_every_format_are_the_same(folder: Path) -> None:
    write_csv(folder / "calls.csv", ENTRIES)
    lines = [json.dumps({k: v for k, v in each.items() if v is not None}) for each in ENTRIES]
    (folder / "calls.jsonl").write_text("\n\n".join(lines) + "\n")
    table = pd.DataFrame(ENTRIES).assign(speaker=[7, 7, None, 9, 9])  # floats, beside a gap
    table.to_parquet(folder / "calls.parquet")
    by_format = [
        read_data([f"manifest:{folder / f'calls.{suffix}'}"])
        for suffix in ("csv", "jsonl", "parquet")
    ]
    assert by_format[0] == by_format[1] == by_format[2]
    first, whole, unknown, *_ = by_format[0]
    assert (first.label, first.speaker, first.sex, first.side) == ("angry", "7", "female", "train")
    assert (first.start_s, first.end_s, whole.start_s) == (0.1, 0.4, None)
    assert (unknown.speaker, unknown.sex, unknown.language) == ("", "", "")
    assert [each.side for each in by_format[0]] == ["train", "train", "test", "valid", "test"]
    assert first.name == "manifest:calls:a.wav#0.1-0.4"
    assert len({each.name for each in by_format[0]}) == len(ENTRIES)
    assert "split: test 2, train 2, valid 1" in overview(by_format[0])
    assert "0.25 to 0.50 s, median 0.50 s" in overview(by_format[0])


FAULTY = """file,label,start_s,end_s,split
a.wav,happy,,,train
gone.wav,happy,,,test
a.wav,grumpy,0,0.1,train
a.wav,happy,0.4,0.2,test
a.wav,sad,0.1,0.2,train
a.wav,sad,0.1,0.3,train
c.wav,happy,,,sideways
c.wav,happy,,0.1,test
c.wav,happy,-1,0.2,test
c.wav,happy,soon,0.2,test
c.wav,happy,0.2,9,test
../out.wav,happy,,,test
a.wav,happy,,,test
,,,,test

a.wav,happy
s3://bucket/a.wav,happy,,,
"""


def test_every_faulty_line_is_in_one_error_with_its_number(folder: Path) -> None:
    (folder / "bad.csv").write_text(FAULTY)
    with pytest.raises(UsageError) as caught:
        read_manifest(folder / "bad.csv")
    head, *faults, hint = str(caught.value).splitlines()
    assert "bad.csv: fix these lines" in head
    assert [line.strip() for line in faults] == [
        "line 3: gone.wav: there is no such file",
        "line 4: the label grumpy is not known",
        "line 5: starts at 0.4 s, which is not before its end at 0.2 s",
        "lines 6 and 7: the label sad is in train and not in test; expected in both",
        "line 8: the split is sideways, expected train, valid or test",
        "line 9: end_s is given and start_s is empty; give both, or neither for all of it",
        "line 10: start_s is -1, expected seconds from the recording's start on",
        "line 11: start_s is soon, expected seconds from the recording's start on",
        "line 12: reaches 9 s, the recording ends at 0.50 s",
        "line 13: ../out.wav is outside the manifest's folder; move it or the manifest",
        "line 14: a.wav is in line 2 too, with the same segment",
        "line 15: the file is empty",
        "line 15: the label is empty",
        "line 17: found 2 values, expected 5",
        "line 18: s3://bucket/a.wav: an address, expected a path",
        "line 18: the split is empty, expected train, valid or test",
    ]
    assert "known labels are neutral, calm" in hint
    assert "--labels" in hint


def test_faults_of_the_other_formats_have_their_row_numbers(folder: Path) -> None:
    lines = [
        '{"file": "a.wav", "label": "sad"}',
        "",
        "{oops",
        "[1]",
        '{"file": "c.wav"}',
        '{"file": ["a.wav"], "label": "sad"}',
        '{"file": "\\ud800", "label": "sad"}',
        '{"file": "a\\u0000.wav", "label": "sad"}',
        "[" * 100_000,
    ]
    (folder / "bad.jsonl").write_text("\n".join(lines))
    with pytest.raises(UsageError) as caught:
        read_manifest(folder / "bad.jsonl")
    faults = str(caught.value).splitlines()[1:]
    assert [line.partition(":")[0].strip() for line in faults] == [
        f"line {n}" for n in range(3, 10)
    ]
    pd.DataFrame({"file": ["a.wav", None], "label": ["odd", "sad"]}).to_parquet(
        folder / "b.parquet"
    )
    with pytest.raises(UsageError, match=r"row 1: the label odd[^\n]*\n  row 2: the file is empty"):
        read_manifest(folder / "b.parquet")


def test_many_faults_are_cut_short(folder: Path) -> None:
    rows: list[dict[str, Any]] = [{"file": f"gone{n}.wav", "label": "sad"} for n in range(60)]
    with pytest.raises(UsageError) as caught:
        read_manifest(write_csv(folder / "m.csv", rows))
    assert str(caught.value).count("there is no such file") == 50
    assert str(caught.value).endswith("and 10 more")
    sides = ["train"] * 23 + ["test"]
    rows = [
        {
            "file": "a.wav",
            "label": "sad" if side == "train" else "happy",
            "start_s": 0,
            "end_s": 0.1 + n / 100,
            "split": side,
        }
        for n, side in enumerate(sides)
    ]
    with pytest.raises(UsageError) as caught:
        read_manifest(write_csv(folder / "m.csv", rows))
    assert "lines 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 13 more: the label sad" in str(caught.value)
    assert "line 25: the label happy is in test and not in train" in str(caught.value)


def test_sides_that_a_manifest_leaves_to_others(folder: Path) -> None:
    """One with a test side alone, or without any, is whole; valid replaces a missing test side."""
    rows: list[dict[str, Any]] = [
        {"file": "a.wav", "label": "sad", "split": "test"},
        {"file": "c.wav", "label": "happy", "split": "test"},
    ]
    assert len(read_manifest(write_csv(folder / "m.csv", rows))) == 2
    unsplit = [row | {"split": ""} for row in rows]
    assert [u.side for u in read_manifest(write_csv(folder / "m.csv", unsplit))] == ["", ""]
    rows = [rows[0] | {"split": "train"}, rows[1] | {"split": "validation"}]
    with pytest.raises(UsageError, match="line 3: the label happy is in valid and not in train"):
        read_manifest(write_csv(folder / "m.csv", rows))


def test_own_labels_and_further_columns(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [
        {"file": "a.wav", "label": "frustrated", "speker": "7"},
        {"file": str(folder / "c.wav"), "label": "SAD", "speker": "8"},
    ]
    path = write_csv(folder / "m.csv", rows)
    found = read_data([f"manifest:{path}"], own_labels=("Frustrated",))
    assert [each.label for each in found] == ["Frustrated", "sad"]
    assert found[1].name == "manifest:m:c.wav"
    assert "not used: speker" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", "", "found nothing; expected a column named file"),
        ("m.csv", "file,emotion\n", "found the columns file, emotion; expected a column named lab"),
        ("m.csv", "file,label,file\n", "the column file appears twice"),
        ("m.csv", "file,label\n", "found no lines"),
        ("m.csv", 'file,label\n"a.wav"x,sad\n', "line 2: not a CSV file"),
        ("m.jsonl", "", "found no lines"),
        ("m.parquet", "no such thing", "not a Parquet file"),
        ("m.xlsx", "", "expected a name ending in one of .csv, .tsv, .jsonl, "),
    ],
)
def test_files_that_are_no_manifest(folder: Path, name: str, content: str, message: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        read_manifest(folder / name)


def test_annotators_who_agree_and_who_do_not(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A segment is there once; of one annotator a second line stays a fault."""
    name = next(str(each["file"]) for each in ENTRIES)
    own = {"file": name, "start_s": 0.0, "end_s": 0.1}
    later = own | {"start_s": 0.1, "end_s": 0.2}
    lines = [
        own | {"label": "anger", "annotator": "anna"},
        own | {"label": "angry", "annotator": "ben"},
        later | {"label": "sad", "annotator": "anna"},
        later | {"label": "neutral", "annotator": "ben"},
        {"file": name, "start_s": 0.3, "end_s": 0.4, "label": "neutral", "annotator": "ben"},
    ]
    write_csv(folder / "labels.csv", lines)
    found = read_manifest(folder / "labels.csv")
    assert [(each.start_s, each.label) for each in found] == [(0.0, "angry"), (0.3, "neutral")]
    assert "1 segments are left out, which annotators label differently" in capsys.readouterr().err
    write_csv(folder / "labels.csv", [lines[0], lines[0], lines[1]])
    with pytest.raises(UsageError, match="is in line 2 too, with the same segment"):
        read_manifest(folder / "labels.csv")
