"""`batch-ser sample`: clips exact to a sample, each format read back, hostile names, refusals."""

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import soundfile
from call_tables import LABELS, files_row, segment_rows, write_output
from conftest import Runner
from numpy.typing import NDArray

from batch_ser.archives import list_archive
from batch_ser.archives.parquet_audio import ParquetArchive
from batch_ser.audio import Samples
from batch_ser.inputs import Columns, read_rows
from jobs.sample import Shares
from jobs.sample.clips import clip_name
from jobs.sample.drawing import draw
from jobs.sample.strata import ScoreReader
from jobs.sample.task import COLUMNS, Task

RATE_HZ = 8_000
SCORES = (0.1, 0.2, 0.6, 0.1)
NAMES = [
    "<img src=x onerror=alert(1)>.wav",
    "=HYPERLINK(1).wav",
    "CON.wav",
    'a"b,c\t;.wav',
    "line\nbreak\r.wav",
    f"{'long' * 50}.wav",
    "sub/../dots.wav",
    "ünïcödé 語 .wav",
    "same.wav",
    "sub/same.wav",
]
WINDOWS = ((0.25, 1.000125), (1.3, 2.0), (2.9, 3.0))  # of odd lengths; they need not be speech
Pcm = NDArray[np.int16]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, speech: Samples) -> Path:
    """Two channels of real speech of 3 s, 16 bits, below names that break things."""
    root = tmp_path_factory.mktemp("recordings") / "calls"
    for number, name in enumerate(NAMES):
        path = root / name.replace("sub/../", "")
        path.parent.mkdir(parents=True, exist_ok=True)
        start = 16_000 * (2 + number)
        pcm = np.stack([speech[start : start + 3 * RATE_HZ], speech[: 3 * RATE_HZ]], axis=1)
        soundfile.write(path, np.rint(pcm * 32_767).astype(np.int16), RATE_HZ)
    (root.parent / "outside.wav").write_bytes((root / "same.wav").read_bytes())
    return root


def output_of(
    root: Path, out: Path, names: Iterable[str], channels: tuple[int, ...] = (0, 1)
) -> Path:
    """A complete output, composed by hand, of recordings below a root; crosstalk on channel 1."""
    files, segments = [], []
    for name in sorted(names):
        regions = [(c, *times, False, SCORES) for c in channels for times in WINDOWS]
        regions.append((channels[-1], 2.0, 2.5, True, SCORES))
        segments += segment_rows(regions, name, roles={}, queue=name[:1])
        path = root / name
        size = path.stat().st_size if path.exists() else 1
        files.append(files_row(None, name, duration_s=3.0) | {"size_bytes": size})
    write_output(out, files, segments, None, ("queue",))
    return out


@pytest.fixture(scope="module")
def out(recordings: Path) -> Path:
    names = [name for name in NAMES if ".." not in name]
    return output_of(recordings, recordings.with_name("out.parquet"), names)


@pytest.fixture
def sample(batch_ser: Runner, out: Path, recordings: Path, tmp_path: Path) -> Callable[..., Path]:
    """Make a sample in a format; returns its folder."""

    def sample(to: str, *arguments: object, audio: bool = True, n: int = 20) -> Path:
        dest = tmp_path / f"my {to} sample"
        given = ("--audio", recordings) if audio else ()
        done = batch_ser("sample", out, "--n", n, "--to", to, "--dest", dest, *given, *arguments)
        assert done.returncode == 0, done.stderr
        return dest

    return sample


def tasks_of(dest: Path) -> list[dict[str, str]]:
    """The rows of `sample.csv`; cells that a spreadsheet would compute begin with `'`."""
    with (dest / "sample.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["file"] = re.sub("^'(?=[=+@-])", "", row["file"])
    return rows


def samples_of(recordings: Path, row: dict[str, str]) -> Pcm:
    """What the clip of a row must hold."""
    pcm, _ = soundfile.read(recordings / row["file"], dtype="int16")
    times = float(row["start_s"]), float(row["end_s"])
    start, end = (round(each * RATE_HZ) for each in times)
    part: Pcm = pcm[start:end]
    if row["channel"] == "-1":
        return np.rint(part.astype(np.float64).mean(axis=1)).astype(np.int16)
    return part[:, int(row["channel"])]


def assert_clips_are_exact(dest: Path, recordings: Path, rows: list[dict[str, str]]) -> None:
    for row in rows:
        pcm, rate_hz = soundfile.read(dest / row["clip"], dtype="int16")
        assert rate_hz == RATE_HZ
        expected = samples_of(recordings, row)
        assert len(expected) in (6_001, 6_000, 5_600, 800)
        np.testing.assert_array_equal(pcm, expected)


def test_clips_are_exact_to_a_sample(sample: Any, recordings: Path) -> None:
    dest = sample("csv", n=1_000)
    rows = tasks_of(dest)
    assert len(rows) == 9 * 6, "all segments, and crosstalk never"
    assert_clips_are_exact(dest, recordings, rows)
    assert {row["weight"] for row in rows} == {"1.0"}
    assert [*rows[0]] == [*COLUMNS, "answer"]
    assert {row["answer"] for row in rows} == {""}


def test_clips_of_a_mixture(recordings: Path, batch_ser: Runner, tmp_path: Path) -> None:
    mixed = output_of(recordings, tmp_path / "mixed.parquet", ["same.wav"], channels=(-1,))
    dest = tmp_path / "clips"
    done = batch_ser(
        *("sample", mixed, "--to", "csv", "--dest", dest, "--audio", recordings, "--n", 3)
    )
    assert done.returncode == 0, done.stderr
    for row in tasks_of(dest):
        assert "-mix-" in row["clip"]
        pcm, _ = soundfile.read(dest / row["clip"], dtype="int16")
        assert np.abs(pcm.astype(int) - samples_of(recordings, row)).max() <= 1


def test_names_of_clips_are_safe_and_unlike_each_other(sample: Any) -> None:
    dest = sample("csv", n=1_000)
    clips = [row["clip"] for row in tasks_of(dest)]
    assert all(re.fullmatch(r"clips/[A-Za-z0-9_][A-Za-z0-9_-]*\.\d{3}s\.wav", c) for c in clips)
    assert len({clip.lower() for clip in clips}) == len(clips)
    assert max(map(len, clips)) < 120
    assert sorted(clips) == sorted(f"clips/{path.name}" for path in (dest / "clips").iterdir())
    assert any("-ch1-00001.300s" in clip for clip in clips), "channel and start are in it"


def test_no_two_segments_have_one_name() -> None:
    def named(file: str, channel: int = 0, segment: int = 0) -> str:
        return clip_name(Task("", file, channel, segment, 1.0, 2.0, "a", 1.0, "a", 1.0, 0))

    like = ["a.wav", "A.wav", "b/a.wav", "a.mp3", "a_.wav", "..", "\n.wav", ".wav"]
    names = [named(file, *of) for file in like for of in ((0, 0), (1, 0), (0, 1))]
    assert len({name.lower() for name in names}) == len(names)
    assert all(".." not in name and name.isascii() for name in names)


def test_label_studio(sample: Any, recordings: Path) -> None:
    """Against the documented format of tasks with predictions, and the tags of the interface."""
    dest = sample("label-studio")
    rows = {row["clip"]: row for row in tasks_of(dest)}
    tasks = json.loads((dest / "tasks.json").read_text())
    view = ElementTree.parse(dest / "config.xml").getroot()
    [audio], [choices] = view.findall("Audio"), view.findall("Choices")
    assert [each.get("value") for each in choices] == [*LABELS, "cannot tell"]
    assert choices.get("toName") == audio.get("name")
    key = str(audio.get("value")).removeprefix("$")
    ids = set()
    for task in tasks:
        assert set(task) == {"data", "predictions"}
        assert set(task["data"]) == {
            *("audio", "file", "channel", "segment", "start_s", "end_s", "weight")
        }
        place = unquote(task["data"][key].removeprefix("/data/local-files/?d="))
        assert place.startswith("my label-studio sample/clips/"), "below the document root"
        row = rows.pop(place.partition("/")[2])
        assert (dest.parent / place).is_file()
        assert task["data"]["file"] == row["file"]
        for name in ("channel", "segment", "start_s", "end_s", "weight"):
            assert task["data"][name] == float(row[name])
        [prediction] = task["predictions"]
        [result] = prediction["result"]
        assert prediction["score"] == float(row["confidence"])
        assert result["type"] == "choices"
        assert result["from_name"] == choices.get("name")
        assert result["to_name"] == audio.get("name")
        assert result["value"] == {"choices": [row["label"]]}
        ids.add(result["id"])
    assert not rows
    assert len(ids) == len(tasks) == 20
    second = json.loads((dest / "tasks-second.json").read_text())
    assert second == [task for task in tasks if task in second]
    assert len(second) == 2 == sum(row["second"] == "1" for row in tasks_of(dest))
    assert_clips_are_exact(dest, recordings, tasks_of(dest))


def test_audacity(sample: Any, recordings: Path) -> None:
    dest = sample("audacity")
    for row in tasks_of(dest):
        track = (dest / row["clip"]).with_suffix(".txt").read_text()
        [(start, end, label)] = [line.split("\t") for line in track.splitlines()]
        length_s = soundfile.info(dest / row["clip"]).duration
        assert (float(start), label) == (0.0, "?")
        assert float(end) == pytest.approx(length_s, abs=1 / RATE_HZ)
    assert len([*(dest / "clips").iterdir()]) == 40
    assert_clips_are_exact(dest, recordings, tasks_of(dest))


def test_audformat(sample: Any) -> None:
    """Against the documented header and table, and by our own reader of such tables."""
    yaml = pytest.importorskip("yaml")
    dest = sample("audformat")
    header = yaml.safe_load((dest / "db.yaml").read_text())
    assert header["tables"]["segments"]["type"] == "segmented"
    assert header["schemes"]["emotion"]["labels"] == [*LABELS, "cannot tell"]
    columns = header["tables"]["segments"]["columns"]
    table = pd.read_csv(dest / "db.segments.csv")
    assert [*table] == ["file", "start", "end", *columns]
    rows = tasks_of(dest)
    assert table["file"].tolist() == [row["clip"] for row in rows]
    assert table["emotion"].tolist() == [row["label"] for row in rows]
    assert table["weight"].tolist() == [float(row["weight"]) for row in rows]
    assert table["answer"].isna().all()
    lengths = (pd.to_timedelta(table["end"]) - pd.to_timedelta(table["start"])).dt.total_seconds()
    frames = [soundfile.info(dest / row["clip"]).frames for row in rows]
    assert (lengths * RATE_HZ).round().tolist() == frames
    read = list(read_rows(dest / "db.segments.csv", Columns(needed=("file",))))
    assert [float(row.values["end_s"]) for row in read] == pytest.approx(lengths.tolist())


def test_hugging_face(sample: Any, recordings: Path) -> None:
    """By our own reader of such files, and by the types that the schema names."""
    dest = sample("hf")
    rows = {row["clip"]: row for row in tasks_of(dest)}
    path = dest / "data/train-00000-of-00001.parquet"
    table = pq.read_table(path)
    types = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(types) == table.column_names
    assert types.pop("audio") == {"_type": "Audio"}
    arrow = {"double": "float64"}
    for name, kind in types.items():
        own = str(table.schema.field(name).type)
        assert kind == {"dtype": arrow.get(own, own), "_type": "Value"}
    with path.open("rb") as file:
        archive = ParquetArchive(file)
        for listed in list_archive(archive, lambda _: True).members:
            row = rows.pop(listed.member.name)
            content = b"".join(archive.read(listed.member))
            pcm, rate_hz = soundfile.read(io.BytesIO(content), dtype="int16")
            assert rate_hz == RATE_HZ
            np.testing.assert_array_equal(pcm, samples_of(recordings, row))
    assert not rows
    weights = {row["clip"]: float(row["weight"]) for row in tasks_of(dest)}
    assert dict(zip(*table.select(["clip", "weight"]).to_pydict().values(), strict=True)) == weights
    assert not (dest / "clips").exists()


def test_without_recordings(batch_ser: Runner, recordings: Path, tmp_path: Path) -> None:
    """Recordings and times are named; audformat has no channels, so none may look like another."""
    out = output_of(recordings, tmp_path / "one.parquet", ["same.wav", "gone.wav"], (1,))
    for to in ("csv", "audformat"):
        done = batch_ser("sample", out, "--to", to, "--dest", tmp_path / to, "--n", 4)
        assert done.returncode == 0, done.stderr
    rows = tasks_of(tmp_path / "csv")
    assert [row | {"answer": ""} for row in tasks_of(tmp_path / "audformat")] == rows
    assert {row["clip"] for row in rows} == {""}
    table = pd.read_csv(tmp_path / "audformat" / "db.segments.csv")
    starts, ends = (pd.to_timedelta(table[name]).dt.total_seconds() for name in ("start", "end"))
    own = ((row["file"], float(row["start_s"]), float(row["end_s"])) for row in rows)
    assert [*zip(table["file"], starts, ends, strict=True)] == [*own]
    both = output_of(recordings, tmp_path / "two.parquet", ["same.wav"])
    done = batch_ser("sample", both, "--to", "audformat", "--dest", tmp_path / "two", "--n", 9)
    assert (done.returncode, "--audio" in done.stderr) == (2, True)
    assert not (tmp_path / "two").exists()


def test_a_real_run(calm: Path, archive: Path, batch_ser: Runner, tmp_path: Path) -> None:
    """Segments of speech in WAV and FLAC, found again below the folder of the run."""
    dest = tmp_path / "sample"
    made = ("sample", calm, "--to", "csv", "--dest", dest, "--audio", archive, "--n", 12)
    assert batch_ser(*made).returncode == 0
    first = (dest / "sample.csv").read_bytes()
    for row in tasks_of(dest):
        pcm, rate_hz = soundfile.read(archive / row["file"], dtype="int16")
        start, end = (round(float(row[name]) * rate_hz) for name in ("start_s", "end_s"))
        clip, clip_hz = soundfile.read(dest / row["clip"], dtype="int16")
        assert clip_hz == rate_hz
        np.testing.assert_array_equal(clip, pcm[start:end])
    done = batch_ser(*made)
    assert (done.returncode, (dest / "sample.csv").read_bytes()) == (0, first), "the same draw"
    done = batch_ser(*made, "--seed", 1)
    assert (dest / "sample.csv").read_bytes() != first
    clips = {f"clips/{path.name}" for path in (dest / "clips").iterdir()}
    assert clips == {row["clip"] for row in tasks_of(dest)}, "those of the earlier sample are gone"


def test_recordings_that_cannot_be_used_are_listed(
    recordings: Path, batch_ser: Runner, tmp_path: Path
) -> None:
    """Their tasks are left out, also of names that lead out of the root; weights stay."""
    root = tmp_path / "calls"
    shutil.copytree(recordings, root)
    shutil.copy(recordings / "same.wav", tmp_path / "outside.wav")
    (root / "text.wav").write_text("no audio")
    data = (root / "same.wav").read_bytes()
    (root / "short.wav").write_bytes(data[: 44 + round(2.5 * RATE_HZ) * 4])
    bad = ["../outside.wav", "sub/../dots.wav", "gone.wav", "text.wav", "CON.wav"]
    out = output_of(root, tmp_path / "out.parquet", [*bad, "short.wav", "same.wav"], (0,))
    (root / "CON.wav").write_bytes(data + b"\0\0")
    dest = tmp_path / "dest"
    done = batch_ser(
        *("sample", out, "--to", "label-studio", "--dest", dest, "--audio", root, "--n", 14)
    )
    assert done.returncode == 0, done.stderr
    rows = tasks_of(dest)
    assert {row["file"] for row in rows} <= {"same.wav", "short.wav"}
    assert {row["weight"] for row in rows} <= {str(float(x)) for x in all_weights(out)}
    left_out = 14 - len(rows)
    assert left_out >= 8
    assert f"{len(rows)} tasks of 21 segments" in done.stdout
    assert f"{left_out} of 14 drawn segments are left out" in done.stdout
    for name, reason in (
        *(("../outside.wav", "outside_root"), ("sub/../dots.wav", "outside_root")),
        *(("gone.wav", "not_found"), ("text.wav", "unsupported|corrupt")),
        ("CON.wav", "fetch_failed: another file than the one that was scored"),
    ):
        assert re.search(f"  {re.escape(name)}: ({reason})", done.stdout), done.stdout
    clips = {f"clips/{path.name}" for path in (dest / "clips").iterdir()}
    assert clips == {row["clip"] for row in rows}
    assert len(json.loads((dest / "tasks.json").read_text())) == len(rows)
    assert_clips_are_exact(dest, root, rows)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".wav"] == ["outside.wav"]


def all_weights(out: Path) -> set[float]:
    tasks = draw(ScoreReader([out], LABELS), Shares(14, 0.2), 0).tasks
    return {task.weight for task in tasks}


def test_a_recording_that_ends_too_early(
    recordings: Path, batch_ser: Runner, tmp_path: Path
) -> None:
    """Segments before its end have their clips."""
    root = tmp_path / "calls"
    root.mkdir()
    shutil.copy(recordings / "same.wav", root / "cut.wav")
    pcm, _ = soundfile.read(root / "cut.wav", dtype="int16")
    soundfile.write(root / "cut.wav", pcm[: round(2.95 * RATE_HZ)], RATE_HZ)
    out = output_of(root, tmp_path / "out.parquet", ["cut.wav"])
    dest = tmp_path / "dest"
    done = batch_ser("sample", out, "--to", "csv", "--dest", dest, "--audio", root, "--n", 9)
    assert "  cut.wav: bad_segment: the recording ends before the segment's end" in done.stdout
    assert sorted(row["start_s"] for row in tasks_of(dest)) == ["0.25", "0.25", "1.3", "1.3"]
    assert len([*(dest / "clips").iterdir()]) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "csv", "--n", 0], "--n 0: expected 1 or more"),
        (["--to", "word"], "--to word: expected one of label-studio, audacity, audformat, csv, hf"),
        (["--to", "csv", "--by", "colour"], "--by colour: expected a column of the output (queue)"),
        (["--to", "csv", "--seed", -1], "--seed -1"),
        (["--to", "csv", "--audio", "nowhere"], "--audio nowhere: found nothing"),
        (["--to", "label-studio"], "--to label-studio: found no --audio"),
        (["--to", "audacity"], "--to audacity: found no --audio"),
        (["--to", "hf"], "--to hf: found no --audio"),
        (["--to", "csv", "--dest", "s3://bucket/sample"], "expected a folder of this machine"),
    ],
    ids=str,
)
def test_options_that_do_not_fit(
    arguments: list[Any], message: str, out: Path, batch_ser: Runner, tmp_path: Path
) -> None:
    done = batch_ser("sample", out, "--dest", "sample", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert not (tmp_path / "sample").exists()


def test_folders_of_others_and_answers_are_left_alone(
    out: Path, batch_ser: Runner, tmp_path: Path
) -> None:
    dest = tmp_path / "sample"
    make = ("sample", out, "--to", "csv", "--dest", dest, "--n", 5)

    def refused(message: str) -> None:
        before = {path: path.read_bytes() for path in dest.rglob("*") if path.is_file()}
        done = batch_ser(*make)
        assert (done.returncode, message in done.stderr) == (2, True), done.stderr
        assert before == {path: path.read_bytes() for path in dest.rglob("*") if path.is_file()}

    dest.mkdir()
    (dest / "sample.csv").write_text("mine")
    refused("which is not of a sample of batch-ser")
    (dest / "sample.json").write_text('{"program": "another", "tables": {}}')
    refused("which is not of a sample of batch-ser")
    shutil.rmtree(dest)
    assert batch_ser(*make).returncode == 0
    assert batch_ser(*make).returncode == 0, "nobody changed it"
    (dest / "notes.txt").write_text("mine")
    refused("'notes.txt'")
    (dest / "notes.txt").unlink()
    os.symlink(tmp_path, dest / "clips")
    refused("'clips'")
    (dest / "clips").unlink()
    (dest / "clips").mkdir()
    track = dest / "clips" / "call-0123456789abcdef-ch0-00001.000s.txt"
    track.write_text("0\t1\tangry\n")  # made in Audacity, of a clip of another format
    refused("was added since it was written, and may hold answers")
    track.unlink()
    (dest / "db.segments.csv").write_text("file,start,end,answer\n")
    refused("db.segments.csv was added")
    (dest / "db.segments.csv").unlink()
    filled = (dest / "sample.csv").read_text().replace("\n", "angry\n")
    (dest / "sample.csv").write_text(filled)
    refused("may hold answers")


def test_an_interrupted_sample_is_made_again(
    sample: Any, recordings: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr("jobs.sample.making.write_table", interrupt)
        with pytest.raises(AssertionError, match="interrupted"):
            sample("audacity")
    dest = tmp_path / "my audacity sample"
    assert not (dest / "sample.csv").exists(), "the table says that the sample is whole"
    assert not json.loads((dest / "sample.json").read_text())["complete"]
    sample("audacity", "--seed", 1)
    assert json.loads((dest / "sample.json").read_text())["complete"]
    assert len([*(dest / "clips").iterdir()]) == 40
    assert_clips_are_exact(dest, recordings, tasks_of(dest))


def test_only_complete_outputs(batch_ser: Runner) -> None:
    done = batch_ser("sample", "none.parquet", "--to", "csv", "--dest", "sample")
    assert (done.returncode, "no output of batch-ser" in done.stderr) == (2, True)


def test_names_in_tables_do_not_compute(sample: Any) -> None:
    text = (sample("csv", n=1_000) / "sample.csv").read_text(encoding="utf-8-sig")
    assert ',"\'=HYPERLINK(1).wav",' in text
    assert not re.search(r"(^|,)\"?=", text)
