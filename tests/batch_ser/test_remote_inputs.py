"""Inputs at addresses: objects below a prefix, globs, manifests here and there, web files."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from object_stores import environment, make_bucket, put, s3_server
from web_files import SIGNATURE, web_server

from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs import InputFile, Selection, Walk, WholeAddresses
from batch_ser.inputs.files import Line
from batch_ser.inputs.given_segments import unpack

BUCKET = "s3://inputs"
FILES = ("a.wav", "day1/b c.wav", "day1/ü%.FLAC", "day2/d.mp3", "day2/.hidden.wav", "notes.txt")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with one bucket: recordings by their names alone."""
    folder = tmp_path_factory.mktemp("inputs")
    for number, name in enumerate(FILES):
        (folder / "calls" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "calls" / name).write_bytes(b"x" * (number + 1))
    (folder / "list.csv").write_text(
        "file,agent\ncalls/a.wav,Anna\ncalls/no.wav,Ben\n../up.wav,C\n"
    )
    (folder / "audio").mkdir()
    (folder / "audio" / "metadata.csv").write_text("file_name,agent\na.wav,Anna\n")
    for name in ("a.wav", "b.wav"):
        (folder / "audio" / name).write_bytes(b"x")
    lines = "".join(
        f'{{"file": "calls/a.wav", "turn": {n}, "start_s": {n}, "end_s": 9}}\n' for n in (1, 2)
    )
    (folder / "list.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    with s3_server() as address, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(address).items():
            patch.setenv(name, value)
        put(folder, make_bucket(address, BUCKET.partition("://")[2]))
        yield address


@pytest.fixture(autouse=True)
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)


def names(*inputs: str, **selection: object) -> list[str]:
    return [found.file for found in Walk(inputs, Selection(**selection))]  # type: ignore[arg-type]


def test_a_prefix_is_a_folder() -> None:
    walk = Walk((f"{BUCKET}/calls",))
    found = list(walk)
    assert [each.file for each in found] == ["a.wav", "day1/b c.wav", "day1/ü%.FLAC", "day2/d.mp3"]
    assert walk.ignored == 1
    assert found[1].path == f"{BUCKET}/calls/day1/b c.wav"
    assert found[1].size_bytes == 2
    assert found[1].modified_us > 0
    assert not any(each.error for each in found)
    assert names(f"{BUCKET}/calls/") == [each.file for each in found]
    assert names(BUCKET, exclude=("audio/*",)) == [f"calls/{each.file}" for each in found]


def test_a_prefix_ends_at_a_folder() -> None:
    """`calls/day` is none, though keys begin so."""
    with pytest.raises(UsageError, match=r"inputs/calls/day: there is no such object"):
        Walk((f"{BUCKET}/calls/day",))


def test_include_exclude_root_and_several_inputs() -> None:
    assert names(f"{BUCKET}/calls", include=("*.txt",)) == ["notes.txt"]
    assert names(f"{BUCKET}/calls", exclude=("day1/*",)) == ["a.wav", "day2/d.mp3"]
    both = names(f"{BUCKET}/calls/day1", f"{BUCKET}/calls/a.wav")
    assert both == [f"{BUCKET}/calls/{name}" for name in (*FILES[1:3], "a.wav")]
    assert names(f"{BUCKET}/calls/day2", root=f"{BUCKET}/calls") == ["day2/d.mp3"]
    with pytest.raises(UsageError, match="is outside --root"):
        Walk((f"{BUCKET}/calls",), Selection(root=f"{BUCKET}/other"))


def test_globs_and_single_objects() -> None:
    assert names(f"{BUCKET}/calls/*/*.wav") == ["day1/b c.wav"]
    assert names(f"{BUCKET}/calls/**/*.wav") == ["a.wav", "day1/b c.wav"]
    assert names(f"{BUCKET}/calls/day[2]") == ["day2/d.mp3"]
    assert names(f"{BUCKET}/calls/*.txt") == ["notes.txt"]
    assert names(f"{BUCKET}/calls/notes.txt") == ["notes.txt"]


def test_our_own_output_is_no_input() -> None:
    assert names(f"{BUCKET}/calls", never=(f"{BUCKET}/calls/day1",)) == ["a.wav", "day2/d.mp3"]


def test_a_manifest_in_a_store() -> None:
    """Its paths start at its own place, and do not leave it."""
    found = list(Walk((f"{BUCKET}/list.csv",)))
    assert [each.file for each in found] == ["calls/a.wav", "calls/no.wav", "../up.wav"]
    assert [each.columns for each in found] == [("Anna",), ("Ben",), ("C",)]
    reasons = [each.error and each.error.reason for each in found]
    assert reasons == [None, Reason.NOT_FOUND, Reason.OUTSIDE_ROOT]


def test_manifests_of_other_formats_in_a_store() -> None:
    (found,) = Walk((f"{BUCKET}/list.jsonl.gz",))
    assert (found.file, found.size_bytes) == ("calls/a.wav", 1)
    assert [each.columns for each in unpack(found.given_segments)] == [("1",), ("2",)]
    walk = Walk((f"{BUCKET}/audio", f"{BUCKET}/list.csv"))
    assert [(each.file, each.columns) for each in walk] == [
        (f"{BUCKET}/audio/a.wav", ("Anna",)),
        (f"{BUCKET}/calls/a.wav", ("Anna",)),
        (f"{BUCKET}/calls/no.wav", ("Ben",)),
        (f"{BUCKET}/../up.wav", ("C",)),
        (f"{BUCKET}/audio/b.wav", (None,)),
    ]


def test_a_manifest_here_of_objects_there(tmp_path: Path) -> None:
    (tmp_path / "b.wav").write_bytes(b"x")
    lines = [f"{BUCKET}/calls/a.wav", "b.wav", f"{BUCKET}/calls/no.wav", "ftp://host/c.wav"]
    (tmp_path / "list.csv").write_text("\n".join(["file", *lines]) + "\n")
    walk = Walk((str(tmp_path / "list.csv"),))
    found = list(walk)
    assert [each.file for each in found] == lines
    reasons = [each.error and each.error.reason for each in found]
    assert reasons == [None, None, Reason.NOT_FOUND, Reason.UNSUPPORTED]
    below = Walk((str(tmp_path / "list.csv"),), Selection(root=f"{BUCKET}/calls"))
    assert next(each.file for each in below) == "a.wav"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("s3://no-such-bucket/calls", "[Nn]o.?[Ss]uch.?[Bb]ucket"),
        (f"{BUCKET}/nothing/*.wav", "there is no such object"),
        (f"{BUCKET}/no.csv", "no such file"),
        ("s3://", "found no name of a bucket"),
        ("s3:/inputs/calls", "found one slash, expected s3://BUCKET"),
    ],
)
def test_addresses_of_nothing(wrong: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Walk((wrong,))


@pytest.mark.parametrize("given", [False, True])
def test_signed_web_files_keep_their_signatures(given: bool, tmp_path: Path) -> None:
    """Not even HEAD is allowed; the address without its query is all that an input holds."""
    (tmp_path / "a b.wav").write_bytes(b"four")
    os.utime(tmp_path / "a b.wav", (1_700_000_000, 1_700_000_000))
    with web_server(tmp_path) as web:
        lines = [
            f"{web}/a%20b.wav?{SIGNATURE}",
            f"{web}/no.wav?{SIGNATURE}",
            f"{web}/a%20b.wav?x=1",
        ]
        rows = [f"{each},{n},{n + 1}" for n, each in enumerate(lines)] if given else lines
        header = "file,start_s,end_s" if given else "file"
        listed = tmp_path / "list.csv"
        listed.write_text("\n".join([header, *rows[: 2 if given else 3]]) + "\n")
        found = list(Walk((str(listed),)))
        good = found[0]
        assert good.file == good.path == f"{web}/a%20b.wav"
        assert good.version[:2] == (4, 1_700_000_000_000_000)
        assert "Geh31m" not in repr(found)
        assert found[1].error
        assert found[1].error.reason is Reason.NOT_FOUND
        assert WholeAddresses().of(good) == lines[0]
        if not given:
            assert len(found) == 2  # two lines with one public address are one file


def test_a_scheme_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"four")
    with web_server(tmp_path) as web:
        listed = tmp_path / "list.csv"
        listed.write_text(f"file\n{web.replace('http', 'HTTP')}/a.wav?{SIGNATURE}\n")
        [found] = Walk((str(listed),))
        assert found.file == f"{web}/a.wav"
        assert found.error is None
        assert found.size_bytes == 4


@pytest.mark.parametrize("out", [BUCKET, f"{BUCKET}/calls", f"{BUCKET}/calls/day1"])
def test_an_input_in_the_job_s_own_output_is_refused(out: str) -> None:
    each = f"{BUCKET}/calls/day1"
    with pytest.raises(UsageError, match=f"--input {each} is in the output of this job"):
        names(each, never=(out,))


def test_a_line_that_was_changed_is_not_fetched(tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    listed.write_text("file\nhttp://127.0.0.1:1/b.wav?sig=1\n")
    file = InputFile("a", "http://127.0.0.1:1/a.wav", line=Line(str(listed), 2))
    with pytest.raises(FileError, match="line 2 of the manifest has another address now"):
        WholeAddresses().of(file)
