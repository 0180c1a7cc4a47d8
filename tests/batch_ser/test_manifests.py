"""Manifests of every format, and of other programs: the same files, values and segments."""

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from manifests import (
    FORMATS,
    WITH_SEGMENTS,
    Line,
    jsonl,
    lhotse_cut,
    lhotse_cuts,
    lhotse_recording,
    lhotse_recordings,
    separated,
)

from batch_ser.errors import Reason, UsageError
from batch_ser.inputs import Selection, Walk
from batch_ser.inputs.given_segments import GivenSegment, unpack

NAMES = ("a.wav", "sub/b é.wav", "c.wav")
LINES: list[Line] = [
    {"file": "a.wav", "speaker": "Ann, née Ö", "turn": 7, "score": 0.5},
    {"file": "sub/b é.wav", "speaker": 'B "x"', "turn": 8, "score": 2.0},
    {"file": "gone.wav", "speaker": "", "turn": 9, "score": 1e-3},
]
SEGMENTS: list[Line] = [
    {"file": "a.wav", "start_s": 0.0, "end_s": 1.25, "speaker": "Ann", "text": "a;b", "take": 1},
    {"file": "a.wav", "start_s": 0.5, "end_s": 4.123457, "speaker": "Ben", "text": "", "take": 2},
    {"file": "c.wav", "start_s": 1.0, "end_s": 2.0, "speaker": "Ann", "text": "é", "take": 3},
]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Files that are recordings by their names alone."""
    for name in NAMES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def listed(*inputs: Path | str, **options: Any) -> dict[str, tuple[str | None, ...]]:
    return {each.file: each.columns for each in Walk(tuple(map(str, inputs)), **options)}


def segments(path: Path) -> dict[str, list[GivenSegment]]:
    return {each.file: unpack(each.given_segments) for each in Walk((str(path),))}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_names_the_same_files_and_values(recordings: Path, name: str) -> None:
    """Also where another one has a number as text, and this one as a number."""
    walk = Walk((str(FORMATS[name](recordings, LINES)),))
    assert walk.manifest_columns == ("speaker", "turn", "score")
    found = {each.file: each.columns for each in walk}
    text = name in ("comma", "semicolon", "tab", "tsv", "byte order mark")
    assert found == {
        "a.wav": ("Ann, née Ö", "7", "0.5"),
        "sub/b é.wav": ('B "x"', "8", "2.0" if text else "2"),
        "gone.wav": ("", "9", "0.001"),
    }
    reasons = [each.error and each.error.reason for each in walk]
    assert reasons == [None, None, Reason.NOT_FOUND]


@pytest.mark.parametrize("name", WITH_SEGMENTS)
def test_every_format_gives_the_same_segments(recordings: Path, name: str) -> None:
    """Two of a file, with three columns."""
    path = WITH_SEGMENTS[name](recordings, SEGMENTS)
    walk = Walk((str(path),))
    assert walk.has_given_segments
    own = ("speaker", "text", "take")
    ids = () if name != "lhotse cuts" else ("segment_id", "recording_id")
    assert walk.manifest_columns == (*ids, *own)
    found = {
        file: [each._replace(columns=each.columns[len(ids) :]) for each in given]
        for file, given in segments(path).items()
    }
    assert found == {
        "a.wav": [
            GivenSegment(0.0, 1.25, None, ("Ann", "a;b", "1")),
            GivenSegment(0.5, 4.123457, None, ("Ben", "", "2")),
        ],
        "c.wav": [GivenSegment(1.0, 2.0, None, ("Ann", "é", "3"))],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,a;file\nx,y\n", "file both by a comma and a semicolon"),
        ("datei;agent\nx;y\n", "found the columns datei, agent; expected a column named file"),
        ("file;a\nx,y,z\n", "line 2: found 1 values, expected 2"),
        ('"file";"a"\n"x"y;z\n', "line 2: not a CSV file"),
        ('file\n"never closed\n', "line 2: not a CSV file"),
    ],
)
def test_separators_that_are_not_clear(recordings: Path, text: str, message: str) -> None:
    (recordings / "list.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        Walk((str(recordings / "list.csv"),))


def test_a_line_is_where_its_record_begins(recordings: Path) -> None:
    path = recordings / "list.csv"
    path.write_text('file,a\na.wav,"one\ntwo"\n\n,"three\nfour"\n')
    with pytest.raises(UsageError, match="line 5: the file column is empty"):
        Walk((str(path),))
    path.write_text('file,a\na.wav,1\nb.wav,"never closed\n\n\n\n')
    with pytest.raises(UsageError, match="line 3: not a CSV file"):
        Walk((str(path),))


@pytest.mark.parametrize("times", ["", ",start_s,end_s"])
def test_roles_that_cannot_be_read_are_faults_of_their_lines(recordings: Path, times: str) -> None:
    path, rest = recordings / "list.csv", ",0,1" if times else ""
    lines = [f"a.wav,{roles}{rest}" for roles in ("0=agent 1=customer", "agent=0")]
    path.write_text("\n".join([f"file,roles{times}", *lines, ""]))
    with pytest.raises(UsageError, match=r"line 2: the roles: found 0=agent 1(.|\n)*line 3: the r"):
        Walk((str(path),))


def test_segments_of_audformat_that_pandas_keeps_as_index(recordings: Path) -> None:
    """It writes an index behind the columns."""
    times = [[pd.Timedelta(seconds=s) for s in some] for some in ((0.0, 1.0), (0.5, 2.0))]
    table = pd.DataFrame(
        {"file": ["a.wav"] * 2, "start": times[0], "end": times[1], "x": ["1"] * 2}
    )
    table.set_index(["file", "start", "end"]).to_parquet(recordings / "list.parquet")
    walk = Walk((str(recordings / "list.parquet"),))
    assert walk.has_given_segments
    assert walk.manifest_columns == ("x",)


def test_a_header_with_one_name_needs_no_separator(recordings: Path) -> None:
    (recordings / "list.csv").write_text("file\na.wav\nb;c.wav\n")
    assert [*listed(recordings / "list.csv")] == ["a.wav", "b;c.wav"]


def test_the_first_twenty_bad_lines_are_listed_and_all_are_counted(recordings: Path) -> None:
    lines: list[Line] = [{"file": "" if n % 2 else f"{n}.wav"} for n in range(100)]
    for write in (FORMATS["jsonl"], FORMATS["parquet"], separated("list.csv", ",")):
        path = write(recordings, lines)
        with pytest.raises(UsageError) as caught:
            Walk((str(path),))
        head, *faults, more = str(caught.value).splitlines()
        assert head.endswith(("fix these lines and run again", "fix these rows and run again"))
        assert len(faults) == 20
        assert all("the file column is empty" in each for each in faults)
        assert more.strip() == "and 30 more"


def test_values_of_jsonl_and_parquet_are_what_csv_would_hold(recordings: Path) -> None:
    table = pa.table(
        {
            "file": pa.array(["a.wav", "c.wav"]).dictionary_encode(),
            "half": pa.array([0.3, None], pa.float32()),
            "whole": pa.array([3.0, None], pa.float64()),
            "yes": pa.array([True, None]),
            "day": pa.array([pd.Timestamp("2026-11-29 10:00"), None]),
            "length": pa.array([pd.Timedelta("90s"), None]),
            "tags": pa.array([["x", "é"], None]),
        }
    )
    pq.write_table(table, recordings / "list.parquet")
    assert listed(recordings / "list.parquet") == {
        "a.wav": ("0.3", "3", "True", "2026-11-29 10:00:00", "0 days 00:01:30", '["x", "é"]'),
        "c.wav": ("",) * 6,
    }
    path = jsonl(recordings, [{"file": "a.wav", "yes": True, "tags": {"x": 1}}, {"file": "c.wav"}])
    assert listed(path) == {"a.wav": ("True", '{"x": 1}'), "c.wav": ("", "")}


def test_parquet_is_read_in_parts(recordings: Path) -> None:
    """Rows keep their numbers across row groups and batches."""
    count = 25_000
    files = [f"{n}.wav" for n in range(count - 1)] + [None]
    table = pa.table({"file": files, "n": range(count)})
    pq.write_table(table, recordings / "list.parquet", row_group_size=7_000)
    with pytest.raises(UsageError, match="row 25000: the file column is empty"):
        Walk((str(recordings / "list.parquet"),))
    pq.write_table(table.slice(0, count - 1), recordings / "list.parquet", row_group_size=7_000)
    found = listed(recordings / "list.parquet")
    assert found["12345.wav"] == ("12345",)
    assert len(found) == count - 1


@pytest.mark.parametrize("times", [("0.5", ""), ("0.5", "NaT"), ("0 days 00:00:00.500000", "NaT")])
def test_open_ends(recordings: Path, times: tuple[str, str]) -> None:
    """In audformat, and with our own columns, an empty end is that of the recording."""
    audformat = "days" in "".join(times) or "NaT" in times
    header = "file,start,end" if audformat else "file,start_s,end_s"
    (recordings / "list.csv").write_text(f"{header}\na.wav,{','.join(times)}\n")
    assert segments(recordings / "list.csv") == {"a.wav": [GivenSegment(0.5, None, None, ())]}


def test_audformat_times(recordings: Path) -> None:
    lines = (
        "a.wav,NaT,NaT",
        "a.wav,0 days,NaT",
        "c.wav,,0 days 00:00:01.000000001",
        "c.wav,1 days 02:03:04.5,2 days",
        "c.wav,3,4.25",
    )
    path = recordings / "db.csv"
    path.write_text("file,start,end,n\n" + "".join(f"{e},{n}\n" for n, e in enumerate(lines)))
    assert segments(path) == {
        "a.wav": [GivenSegment(0.0, None, None, (n,)) for n in "01"],
        "c.wav": [
            GivenSegment(0.0, 1.000000001, None, ("2",)),
            GivenSegment(3.0, 4.25, None, ("4",)),
            GivenSegment(93_784.5, 172_800.0, None, ("3",)),
        ],
    }
    path.write_text("file,start,end\na.wav,-1 days +23:59:59,NaT\na.wav,soon,\na.wav,2,1\n")
    with pytest.raises(UsageError) as caught:
        Walk((str(path),))
    assert [line.partition(";")[0].strip() for line in str(caught.value).splitlines()[1:]] == [
        "line 2: start is -1 days +23:59:59",
        "line 3: start is soon",
        "line 4: starts at 2 s, which is not before its end at 1 s",
    ]
    path.write_text("file,start,end\na.wav,10:00,soon\n")  # a clock's, perhaps
    assert Walk((str(path),), allow_given_segments=False).manifest_columns == ("start", "end")


def test_lhotse_recordings(recordings: Path) -> None:
    two_files = lhotse_recording({"file": "c.wav"})
    other = {"type": "file", "channels": [1], "source": "sub/b é.wav"}
    two_files["sources"].append(other)
    path = jsonl(recordings, [lhotse_recording({"file": "a.wav"}), two_files])
    assert Walk((str(path),)).manifest_columns == ("recording_id",)
    assert listed(path) == {"a.wav": ("a",), "c.wav": ("c",), "sub/b é.wav": ("c",)}


def test_lhotse_cuts_find_the_channel_in_its_file(recordings: Path) -> None:
    """All channels of a file: whichever `--channels` takes. One of several: its number there."""
    lines: list[Line] = [
        {"file": "a.wav", "start_s": 0.1, "end_s": 0.4, "channel": channel} for channel in (0, 1)
    ]
    cuts = [lhotse_cut(each, channels=2) for each in lines]
    cuts[1]["supervisions"] *= 2  # it is not known which counts
    both = lhotse_cut(lines[0], channels=2) | {"channel": [0, 1], "type": "MultiCut", "id": "both"}
    apart = lhotse_cut({"file": "c.wav", "start_s": 0.0, "end_s": 1.0, "speaker": "Ann"})
    apart["recording"]["sources"].append({"type": "file", "channels": [1], "source": "d.wav"})
    found = segments(jsonl(recordings, [*cuts, both, apart | {"channel": 1}]))
    assert {
        file: [(each.channel, each.columns[0]) for each in given] for file, given in found.items()
    } == {
        "a.wav": [(None, "both"), (0, "a.wav-0.1"), (1, "a.wav-0.1")],
        "d.wav": [(None, "c.wav-0.0")],
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"recording": None}, "found no recording; expected one"),
        ({"type": "MixedCut"}, "a cut of the type MixedCut, expected MonoCut or MultiCut"),
        ({"start": "soon"}, "start is no number of seconds"),
        ({"duration": float("nan")}, "duration is nan, which is no number"),
        ({"duration": 0}, "which is not before its end"),
        ({"channel": 5}, "the recording has no channel 5"),
        ({"channel": "left"}, "channel is no channel number"),
        ({"supervisions": {}}, None),
        ({"supervisions": "none"}, "supervisions are no list"),
        ({"supervisions": [{"custom": 3}]}, "the custom field of the supervision is no object"),
        ({"recording": {"sources": []}}, "found no sources"),
        ({"recording": {"sources": [7]}}, "a source is no object"),
        ({"recording": {"sources": [{"type": "command", "source": "cat"}]}}, "type command, exp"),
        ({"recording": {"sources": [{"type": "file"}]}}, "a source names no file"),
        ({"recording": {"sources": [{"type": "file"}], "transforms": [1]}}, "Lhotse transforms"),
    ],
)
def test_faults_of_lhotse_have_their_lines(
    recordings: Path, change: dict[str, Any], message: str | None
) -> None:
    good = lhotse_cut(SEGMENTS[0])
    path = jsonl(recordings, [good, lhotse_cut(SEGMENTS[1]) | change])
    if message is None:
        assert len(segments(path)["a.wav"]) == 2
        return
    with pytest.raises(UsageError, match=f"line 3: .*{message}"):
        Walk((str(path),))


def test_addresses_in_lhotse_recordings(recordings: Path) -> None:
    recording = lhotse_recording(LINES[0])
    recording["sources"][0] = {"type": "url", "channels": [0], "source": "ftp://127.0.0.1/a.wav"}
    (found,) = Walk((str(jsonl(recordings, [recording])),))
    assert found.error
    assert found.error.reason is Reason.UNSUPPORTED


def test_an_audio_folder(recordings: Path) -> None:
    """Files with a line have its values, others null; each folder's metadata is its own."""
    (recordings / "metadata.csv").write_text("file_name,speaker\na.wav,Ann\nno.wav,\n")
    lines = '{"audio": "b é.wav", "age": 7}\n{"audio": "../c.wav", "age": 8}\n'
    (recordings / "sub" / "metadata.jsonl").write_text(lines)
    walk = Walk((str(recordings),))
    assert walk.manifest_columns == ("speaker", "age")
    found = {each.file: (each.columns, each.error and each.error.reason) for each in walk}
    assert found == {
        "a.wav": (("Ann", None), None),
        "no.wav": (("", None), Reason.NOT_FOUND),
        "sub/b é.wav": ((None, "7"), None),
        "sub/../c.wav": ((None, "8"), Reason.OUTSIDE_ROOT),
        "c.wav": ((None, None), None),
    }
    selection = Selection(exclude=("sub/*", "no*"))
    assert [*listed(recordings, selection=selection)] == ["a.wav", "c.wav"]
    above = Selection(root=str(recordings.parent))
    assert next(iter(listed(recordings, selection=above))) == f"{recordings.name}/a.wav"
    assert listed(recordings / "metadata.csv") == {"a.wav": ("Ann",), "no.wav": ("",)}


def test_a_file_called_metadata_may_be_anything(recordings: Path) -> None:
    """It is Hugging Face's by a column of that name; as an input of its own it is a manifest."""
    for content in (b"call,agent\n1,Ann\n", b"\xff\xfe", b'"'):
        (recordings / "metadata.csv").write_bytes(content)
        assert listed(recordings) == dict.fromkeys(("a.wav", "c.wav", "sub/b é.wav"), ())
    (recordings / "metadata.csv").write_text("file_name,x\na.wav\n")
    with pytest.raises(UsageError, match=r"metadata.csv: fix these lines.*\n.*line 2: found 1"):
        Walk((str(recordings),))


def test_roles_are_no_further_column(recordings: Path) -> None:
    path = FORMATS["comma"](recordings, [{"file": "a.wav", "roles": "0=agent;1=customer", "x": 1}])
    walk = Walk((str(path),))
    assert walk.has_roles
    assert walk.manifest_columns == ("x",)
    assert [each.roles for each in walk] == ["0=agent;1=customer"]
    given = [each | {"roles": "0=agent"} for each in SEGMENTS]
    path = FORMATS["parquet"](recordings, given)
    assert {each.roles for each in Walk((str(path),))} == {"0=agent"}
    given[1]["roles"] = "0=customer"
    with pytest.raises(UsageError, match=r"row 2: a.wav has the roles 0=agent in another row"):
        Walk((str(FORMATS["parquet"](recordings, given)),))


def test_many_names_of_columns_are_refused(recordings: Path) -> None:
    path = jsonl(recordings, [{"file": "a.wav", f"column {n}": n} for n in range(2_000)])
    with pytest.raises(UsageError, match="more than 1,000 names of columns up to line"):
        Walk((str(path),))


def test_a_long_line_is_not_read_into_memory(
    recordings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_ser.inputs.jsonl_rows.MAX_LINE", 1 << 20)
    (recordings / "list.jsonl.gz").write_bytes(gzip.compress(b" " * 100_000_000))
    with pytest.raises(UsageError, match="line 1 is longer than 1 MB"):
        Walk((str(recordings / "list.jsonl.gz"),))


MUTATED = {name: (write, SEGMENTS) for name, write in WITH_SEGMENTS.items()}
MUTATED |= {f"{name}, whole": (write, LINES) for name, write in FORMATS.items()}
MUTATED |= {"lhotse": (lhotse_recordings, LINES), "cuts": (lhotse_cuts, SEGMENTS)}
HOSTILE = (b'"', b"\0", b"\xff", b"{", b"[", b"\n", b"\r", b",", b";", b"NaN", b"-1", b"9" * 400)


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut out, doubled, or put in."""
    found = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        at, to = sorted(chance.randrange(len(found) + 1) for _ in range(2))
        match chance.randrange(4):
            case 0:
                found[at : at + 1] = bytes([chance.randrange(256)])
            case 1:
                del found[at : min(to, at + 40)]
            case 2:
                found[at:at] = found[at : min(to, at + 400)]
            case _:
                found[at:at] = chance.choice(HOSTILE)
    return bytes(found)


@pytest.mark.parametrize("name", MUTATED)
def test_a_mutated_manifest_is_refused_or_has_rows(recordings: Path, name: str) -> None:
    """Never another error; a folder beside it has its files, whatever the manifest is."""
    write, lines = MUTATED[name]
    path = write(recordings, lines)
    content, chance = path.read_bytes(), random.Random(name)
    refusals: list[str] = []
    for _ in range(60):
        path.write_bytes(mutated(content, chance))
        try:
            walk = Walk((str(path), str(recordings / "sub")), allow_given_segments=False)
            found = {each.path for each in walk}
            Walk((str(path),))
        except UsageError as error:
            refusals.append(str(error))
        else:
            assert str(recordings / "sub" / "b é.wav") in found
    assert refusals
    assert all(each.encode() for each in refusals)  # no half characters in what is printed


def test_json_that_is_no_manifest(recordings: Path) -> None:
    deep = "[" * 100_000
    texts = ("", "\n\n", "[]", "7", deep, '{"file": ' + deep, '{"\\ud800": 1, "file": "a.wav"}')
    for text in (*texts, json.dumps({"file": {"path": "a.wav"}}), '{"file": "a\\u0000.wav"}'):
        path = recordings / "list.jsonl"
        path.write_text(text)
        if not text.strip():
            assert listed(path) == {}
            continue
        with pytest.raises(UsageError, match="line 1: "):
            Walk((str(path),))
