"""Label files are untrusted: whatever they hold ends as labels, listed problems, or a refusal."""

import json
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import label_files
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_ser.errors import UsageError
from batch_ser.labels import Label, Problem, RecordingNames, read_labels, reading, sampled
from batch_ser.labels.sampled import Sample

ENDINGS = ("json", "txt", "TextGrid", "csv", "tsv")
QUOTED = ('"ooTextFile"', '"TextGrid"', '"IntervalTier"', '"TextTier"', '"angry"', '"', '""')
NUMBERS = ("0", "1", "-1", "1e308", "1e999", "2.5", "nan")
OTHERS = ("<exists>", "!", "\n", "\t", ",", "file", "label", "[1]:")
TOKENS = st.sampled_from([*QUOTED, *NUMBERS, *OTHERS])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda each: (
        st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=8), each, max_size=3)
    ),
    max_leaves=8,
)
KEYS = ("file", "audio", "channel", "segment", "start_s", "end_s", "weight", "emotion", "annotator")
CHOSEN = dict.fromkeys(("choices", "labels", "start", "end"), VALUES)
RESULT = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["choices", "labels"]) | VALUES,
        "from_name": VALUES,
        "value": VALUES | st.fixed_dictionaries({}, optional=CHOSEN),
    },
)
ANNOTATION = VALUES | st.fixed_dictionaries(
    {}, optional={"completed_by": VALUES, "was_cancelled": VALUES, "result": st.lists(RESULT)}
)
DATA = st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, VALUES))
TASKS = st.lists(
    DATA
    | st.fixed_dictionaries(
        {"data": DATA}, optional={"id": VALUES, "annotations": st.lists(ANNOTATION) | VALUES}
    ),
    max_size=3,
)
anything = settings(
    max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)


def read(path: Path) -> list[Label | Problem]:
    """What a file holds; none if it is refused with a sentence."""
    found: list[Label | Problem] = []
    with suppress(UsageError):
        found = list(read_labels(path))
    for each in found:
        if isinstance(each, Label):
            assert_bounded(each)
        else:
            assert each.message
            assert each.message.isprintable()
    return found


def assert_bounded(label: Label) -> None:
    assert 0 < len(label.text.strip()) <= reading.MAX_TEXT
    assert label.text.strip().isprintable()
    for value in (label.start_s, label.end_s):
        assert value is None or 0 <= value <= reading.MAX_S
    assert label.channel is None or -1 <= label.channel <= 127
    assert label.weight is None or 0 < label.weight < math.inf


@anything
@given(st.binary(max_size=300), st.sampled_from(ENDINGS))
def test_any_bytes(tmp_path: Path, content: bytes, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    read(path)


@anything
@given(st.lists(TOKENS, max_size=60), st.sampled_from(ENDINGS))
def test_any_tokens(tmp_path: Path, tokens: list[str], ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    start = 'File type = "ooTextFile"\n"TextGrid" 0 1 <exists> ' if ending == "TextGrid" else ""
    path.write_text(start + " ".join(tokens), encoding="utf-8")
    read(path)


@anything
@given(TASKS)
def test_any_tasks(tmp_path: Path, tasks: list[dict[str, Any]]) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(tasks), encoding="utf-8")
    read(path)


CELL = st.sampled_from([*NUMBERS, "", "1e7", "3", "x", "sad", "=1", "a\x07"])


@anything
@given(st.lists(st.lists(CELL, min_size=7, max_size=7), min_size=1, max_size=4))
def test_any_cells(tmp_path: Path, rows: list[Sequence[str]]) -> None:
    path = tmp_path / "a.csv"
    header = "file,channel,segment,start_s,end_s,weight,label"
    path.write_text("\n".join([header, *map(",".join, rows)]) + "\n", encoding="utf-8")
    assert len(read(path)) == len(rows), "each line is a label or a problem"


LETTERS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"])
TEXT = st.text(LETTERS, min_size=1, max_size=20).filter(lambda text: text.strip() != "")


@anything
@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), TEXT), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_any_textgrid_comes_back(
    tmp_path: Path, intervals: list[tuple[float, float, str]], short: bool, encoding: str
) -> None:
    """Quotes, exclamation marks, brackets and digits within a text are text."""
    spans = [(min(one, other), max(one, other), text) for one, other, text in intervals]
    path = tmp_path / "a.TextGrid"
    path.write_text(label_files.textgrid({"ch1": spans}, short=short), encoding=encoding)
    found = list(read_labels(path, "anna"))
    assert len(found) == len(spans)
    for each, (start_s, end_s, text) in zip(found, spans, strict=True):
        if isinstance(each, Label):
            assert (each.start_s, each.end_s, each.text, each.channel) == (start_s, end_s, text, 1)
        else:
            assert each.reason in ("no_answer", "malformed")


@pytest.mark.parametrize(
    "content",
    [
        b'"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "' + b"a" * (1 << 21),
        b'"ooTextFile" "TextGrid" ' + b'"' * (1 << 21),
        b'"ooTextFile" "TextGrid" 0 1 <exists> ' + b"9" * (1 << 21),
        b'"ooTextFile" "TextGrid" 0 1 <exists> 1 "IntervalTier" "" 0 1 1e6 ' + b'0 1 "" ' * 9,
    ],
    ids=["no end", "quotes", "digits", "size"],
)
def test_damaged_textgrids_are_refused_in_linear_time(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    start = time.process_time()
    with pytest.raises(UsageError, match=r"save it again in Praat"):
        list(read_labels(path))
    assert time.process_time() - start < 20, "seconds, where a quadratic time would be hours"


@pytest.mark.parametrize("ending", ENDINGS)
def test_sizes_and_counts_are_bounded(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a.{ending}"
    with path.open("wb") as file:
        file.truncate(reading.MAX_BYTES + 1)  # sparse
    with pytest.raises(UsageError, match="found more than 64 MB"):
        list(read_labels(path))
    monkeypatch.setattr(reading, "MAX_RECORDS", 3)
    (tmp_path / "a.txt").write_text("0\t1\tsad\n" * 4)
    with pytest.raises(UsageError, match="found more than 3 labels"):
        list(read_labels(tmp_path / "a.txt"))


def test_no_device_or_pipe_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("/dev/zero")
    with pytest.raises(UsageError, match="there is no such label file"):
        list(read_labels(tmp_path / "a.json"))


@pytest.mark.parametrize("minimal", [False, True], ids=["JSON", "JSON-MIN"])
@pytest.mark.parametrize(
    ("data", "ends", "expected"),
    [
        ({"channel": 1, "segment": 3, "end_s": 12.0}, 0.6, (10.0, 12.0, 1, 3)),
        ({"channel": 1, "segment": 3, "end_s": 12.0}, 2.05, (10.0, 12.0, 1, 3)),
        ({"channel": 1, "segment": 3, "end_s": 12.0}, 2.5, None),  # beyond the clip
        ({"channel": 1}, 1.5, (10.5, 11.5, 1, None)),
    ],
)
def test_regions_that_were_marked_in_label_studio(
    tmp_path: Path,
    data: dict[str, Any],
    ends: float,
    expected: tuple[float | int | None, ...] | None,
    minimal: bool,
) -> None:
    """In a clip they are about its segment; else their times start at that of the task."""
    value = {"start": 0.5, "end": ends, "labels": ["Angry"]}
    own = {"file": "a.wav", "start_s": 10.0} | data
    result = [{"type": "labels", "from_name": "label", "value": value}]
    full = {"data": own, "annotations": [{"completed_by": 4, "result": result}]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps([own | {"annotator": 4, "label": [value]} if minimal else full]))
    (found,) = read_labels(path)
    if expected is None:
        assert isinstance(found, Problem)
        assert found.reason == "out_of_bounds"
        return
    assert isinstance(found, Label)
    assert (found.start_s, found.end_s, found.channel, found.segment) == expected
    assert (found.text, found.annotator) == ("Angry", "4")


@pytest.mark.parametrize("minimal", [False, True], ids=["JSON", "JSON-MIN"])
def test_channel_0_of_regions_is_what_label_studio_states_of_all(
    tmp_path: Path, minimal: bool
) -> None:
    """It has others only in a project that splits channels: then 0 is the first one."""
    path = tmp_path / "a.json"
    for channels, expected in (((0, 0), [None, None]), ((0, 1), [0, 1])):
        values = [{"start": 0, "end": 1, "channel": each, "labels": ["sad"]} for each in channels]
        results = [{"type": "labels", "from_name": "label", "value": each} for each in values]
        full = {"data": {"file": "a.wav"}, "annotations": [{"result": results}]}
        path.write_text(json.dumps([{"file": "a.wav", "label": values} if minimal else full]))
        assert [each.channel for each in read(path) if isinstance(each, Label)] == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", ""),
        ("a.json", "[]"),
        ("a.csv", "file,label\n"),
        ("a.TextGrid", label_files.textgrid({"0": [(0, 200, "")]}, short=True)),
    ],
)
def test_a_file_without_labels_is_not_passed_over(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    (found,) = read_labels(tmp_path / name)
    assert isinstance(found, Problem)
    assert found.reason == "no_answer"


def test_names_of_recordings() -> None:
    names = RecordingNames(["a/1.wav", "b/1.wav", "b/2.mp3", "2.wav", "x.y.wav"])
    assert names.find("a/1.wav") == ["a/1.wav"]
    assert names.find("/data/b/1.wav") == ["b/1.wav"]
    assert names.find("c/1.wav") == ["a/1.wav", "b/1.wav"]
    assert names.find("2.mp3") == ["b/2.mp3"]
    assert names.find("2.ogg") == []
    assert names.find("", "labels/b/2") == ["b/2.mp3"]
    assert names.find("", "labels/x.y") == ["x.y.wav"]
    assert names.find("", "labels/1.wav") == ["a/1.wav", "b/1.wav"]
    assert names.find("", "..") == []


def test_odd_names_of_recordings() -> None:
    """Some hold a backslash, or begin like a cell that a spreadsheet would compute."""
    names = RecordingNames(["a/b\\c.wav", "＝d.wav", "\te.wav", "'=f.wav", "g/h.wav"])
    assert names.find("a/b\\c.wav") == names.find("x/a/b\\c.wav") == ["a/b\\c.wav"]
    assert names.find("", "a/b\\c") == ["a/b\\c.wav"]
    assert names.find("C:\\g\\h.wav") == ["g/h.wav"]
    assert names.find("'＝d.wav") == ["＝d.wav"]
    assert names.find("'\te.wav") == ["\te.wav"]
    assert names.find("'=f.wav") == names.find("''=f.wav") == ["'=f.wav"]


def test_a_sample_without_clips_and_with_odd_names(tmp_path: Path) -> None:
    """`sample` writes for spreadsheets: names that begin like a formula have an apostrophe."""
    header = "clip,file,channel,segment,start_s,end_s,weight"
    lines = [header, ",'=a.wav,0,0,1,2,5", ",'=a.wav,0,1,3,4,6"]
    (tmp_path / sampled.TABLE).write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    sample = Sample.read(tmp_path)
    times = ((1.0, 2.0), (3.0, 4.0), (5.0, 6.0))
    found = [sample.weight(("=a.wav", 0, number), *each) for number, each in enumerate(times)]
    assert found == [5, 6, None]
    assert sample.weight(("=a.wav", 0, 0), 1.0, 3.0) is None, "the output was made again"
    (tmp_path / sampled.TABLE).write_text(f"{header}\n,a.wav,0,0,1,2,-1\n")
    with pytest.raises(UsageError, match="line 2: the weight is -1"):
        Sample.read(tmp_path)
