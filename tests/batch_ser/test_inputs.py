"""The inputs of a job, and their names in the tables."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from web_files import web_server

from batch_ser.errors import Reason, UsageError
from batch_ser.inputs import InputFile, Selection, Walk
from batch_ser.inputs.given_segments import unpack
from batch_ser.storage import object_store
from jobs.sharding import FIRST_SHARD_S, SHARD_S, plan, work_s


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def names(*inputs: Path | str, **selection: object) -> list[str]:
    walk = Walk(tuple(map(str, inputs)), Selection(**selection))  # type: ignore[arg-type]
    return [found.file for found in walk]


def test_a_folder(tmp_path: Path) -> None:
    touch(tmp_path, "b/2.wav", "b/1.FLAC", "a.mp3", "notes.txt", ".hidden.wav", ".git/x.wav")
    walk = Walk((str(tmp_path),))
    found = list(walk)
    assert [each.file for each in found] == ["a.mp3", "b/1.FLAC", "b/2.wav"]
    assert walk.ignored == 1
    assert found[0].path == str(tmp_path / "a.mp3")
    assert found[0].size_bytes == 1
    assert found[0].modified_us == (tmp_path / "a.mp3").stat().st_mtime_ns // 1000


def test_include_and_exclude(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.dat", "old/c.wav")
    assert names(tmp_path, include=("*",)) == ["a.wav", "b.dat", "old/c.wav"]
    assert names(tmp_path, exclude=("old/*",)) == ["a.wav"]
    assert names(tmp_path, include=("*.dat",)) == ["b.dat"]


def test_the_job_s_own_output_is_no_input(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "out/segments/b.wav")
    assert names(tmp_path, never=(str(tmp_path / "out"),)) == ["a.wav"]


@pytest.mark.parametrize("each", ["out", "out/segments", "link"])
def test_an_input_in_the_job_s_own_output_is_refused(each: str, tmp_path: Path) -> None:
    """Not one of its files is an input, which would look like an empty archive."""
    touch(tmp_path, "a.wav", "out/segments/b.wav")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with pytest.raises(UsageError, match="is in the output of this job"):
        names(tmp_path / each, never=(str(tmp_path / "out"),))


def test_files_globs_and_several_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "day1/a.wav", "day1/b.dat", "day2/a.wav")
    assert names(tmp_path / "day1" / "b.dat") == ["b.dat"]  # a single file is always an input
    assert names(str(tmp_path / "day*" / "*.wav")) == ["day1/a.wav", "day2/a.wav"]
    assert names(str(tmp_path / "*" / "*.dat")) == ["day1/b.dat"]
    assert names(str(tmp_path / "**")) == ["day1/a.wav", "day2/a.wav"]
    monkeypatch.chdir(tmp_path)
    assert names("day1", "day2") == ["day1/a.wav", "day2/a.wav"]
    assert names("day1", "day1/a.wav") == ["day1/a.wav"]  # listed twice, one row
    assert names(tmp_path / "day1", root=str(tmp_path)) == ["day1/a.wav"]


def test_what_cannot_be_read_gets_a_row(tmp_path: Path) -> None:
    touch(tmp_path, "folder.wav/inside.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = {each.file: each.error and each.error.reason for each in Walk((str(tmp_path),))}
    assert found == {
        "folder.wav": Reason.NOT_A_FILE,
        "folder.wav/inside.wav": None,
        "pipe.wav": Reason.NOT_A_FILE,
        "gone.wav": Reason.NOT_FOUND,
    }


def test_inputs_that_do_not_exist(tmp_path: Path) -> None:
    for wrong, message in (
        (str(tmp_path / "no"), "no such file"),
        (str(tmp_path / "*.wav"), "nothing matches"),
        ("https://127.0.0.1/calls", "found a web address; expected a manifest that lists"),
        ("ftp://127.0.0.1/calls", "expected a path, or one of s3://"),
        ("s3://", "found no name of a bucket"),
    ):
        with pytest.raises(UsageError, match=message):
            Walk((wrong,))


def manifest(folder: Path, text: str) -> Path:
    (folder / "list.csv").write_text(text)
    return folder / "list.csv"


def test_a_manifest(tmp_path: Path) -> None:
    touch(tmp_path, "a.wav", "b.odd")
    walk = Walk((str(manifest(tmp_path, "\ufeffagent,file\nAnna,a.wav\nBen,b.odd\nCleo,c.wav\n")),))
    found = list(walk)
    assert walk.manifest_columns == ("agent",)
    assert [(each.file, each.columns) for each in found] == [
        ("a.wav", ("Anna",)),
        ("b.odd", ("Ben",)),  # a line is always an input, whatever its name
        ("c.wav", ("Cleo",)),
    ]
    assert found[2].error
    assert found[2].error.reason is Reason.NOT_FOUND


def test_manifests_in_several_folders_name_their_own_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each lists an `a.wav` of its own: two recordings, named below the manifests' folders."""
    touch(tmp_path, "d1/a.wav", "d2/a.wav", "b.wav", "outside.wav")
    inputs = [manifest(tmp_path / day, "file\na.wav\n../outside.wav\n") for day in ("d1", "d2")]
    monkeypatch.chdir(tmp_path)
    with web_server(tmp_path / "d1") as web:
        inputs.append(manifest(tmp_path, f"file\nb.wav\nd1/a.wav\n{web}/a.wav\n"))
        walk = Walk(tuple(os.path.relpath(each) for each in inputs))
        found = list(walk)
    assert [each.file for each in found] == [
        "d1/a.wav",
        "d1/../outside.wav",
        "d2/a.wav",
        "d2/../outside.wav",
        "b.wav",
        f"{web}/a.wav",
    ]
    assert found[0].path != found[2].path
    assert walk.repeated == 1  # d1/a.wav, which both list
    below = str(tmp_path)
    for each in inputs[:2]:  # names of all start at --root, as they do for one
        each.write_text(f"file\n{each.parent}/a.wav\n")
    assert names(*inputs[:2], root=below) == ["d1/a.wav", "d2/a.wav"]
    assert names(*inputs[:1]) == ["a.wav"]


def test_manifests_that_disagree_about_a_file(tmp_path: Path) -> None:
    """One of both values would be lost."""
    touch(tmp_path, "d1/a.wav")
    inner = str(manifest(tmp_path / "d1", "file,agent\na.wav,Anna\n"))
    outer = manifest(tmp_path, "file,agent\nd1/a.wav,Anna\n")
    assert len(list(Walk((inner, str(outer))))) == 1
    outer.write_text("file,agent\nd1/a.wav,Ben\n")
    with pytest.raises(UsageError, match=r"d1/a.wav is in .*d1/list.csv too, with other val"):
        Walk((inner, str(outer)))


def test_a_file_in_a_folder_and_in_a_manifest_is_the_manifest_s(tmp_path: Path) -> None:
    """Whatever the order of the inputs, and by whatever link it is reached."""
    touch(tmp_path, "calls/a.wav", "calls/b.wav", "lists/c.wav")
    (tmp_path / "link").symlink_to(tmp_path / "calls")
    listed = manifest(tmp_path, "file,agent\ncalls/a.wav,Anna\nlists/c.wav,Cleo\nx\0/y.wav,\n")
    for folder in ("calls", "link"):
        given = [str(tmp_path / folder), str(listed)]
        for inputs in (given, given[::-1]):
            walk = Walk(tuple(inputs))
            found = {each.file: each.columns for each in walk}
            assert found == {
                f"{tmp_path}/calls/a.wav": ("Anna",),
                f"{tmp_path}/lists/c.wav": ("Cleo",),
                f"{tmp_path}/x\0/y.wav": ("",),
                f"{tmp_path}/{folder}/b.wav": (None,),  # no line: null, not empty
            }
            assert walk.manifest_columns == ("agent",)
            assert walk.repeated == 1
    inside = manifest(tmp_path / "lists", "file\n../calls/a.wav\n")
    found_errors = [
        (each.file, each.error and each.error.reason)
        for each in Walk((str(inside), str(tmp_path / "calls" / "a.wav")))
    ]
    assert found_errors == [  # the line may not name it, the folder may
        (f"{tmp_path}/lists/../calls/a.wav", Reason.OUTSIDE_ROOT),
        (f"{tmp_path}/calls/a.wav", None),
    ]


def test_manifests_with_other_columns(tmp_path: Path) -> None:
    """The job has the columns of all, in the order of their first appearance."""
    touch(tmp_path, "d1/a.wav", "d2/b.wav", "c.wav")
    first = manifest(tmp_path / "d1", "file,agent,day\na.wav,Anna,1\n")
    second = manifest(tmp_path / "d2", "team,file,agent\nred,b.wav,Ben\n")
    walk = Walk((str(first), str(tmp_path / "c.wav"), str(second)))
    assert walk.manifest_columns == ("agent", "day", "team")
    assert [each.columns for each in walk] == [
        ("Anna", "1", None),
        ("Ben", None, "red"),
        (None, None, None),
    ]


def test_given_segments_of_manifests_with_other_columns(tmp_path: Path) -> None:
    touch(tmp_path, "d1/a.wav", "d2/b.wav")
    first = manifest(tmp_path / "d1", "file,start_s,end_s,agent\na.wav,0,1,Anna\na.wav,1,2,Ben\n")
    second = manifest(tmp_path / "d2", "file,start_s,end_s,channel,team\nb.wav,0,1,0,red\n")
    walk = Walk((str(first), str(second)))
    assert walk.has_given_segments
    assert walk.given_channels == {0}
    assert walk.manifest_columns == ("agent", "team")
    assert [[part.columns for part in unpack(each.given_segments)] for each in walk] == [
        [("Anna", None), ("Ben", None)],
        [(None, "red")],
    ]
    for other in (str(tmp_path / "d1"), str(manifest(tmp_path, "file\nd1/a.wav\n"))):
        with pytest.raises(UsageError, match=r"some of the inputs give segments .* others do not"):
            Walk((str(first), other))
        values = Walk((str(second), other), allow_given_segments=False)
        assert values.manifest_columns == ("start_s", "end_s", "channel", "team")


def test_a_manifest_that_is_given_twice(tmp_path: Path) -> None:
    listed = manifest(tmp_path, "file\na.wav\n")
    for again in (listed, tmp_path / "." / ".." / tmp_path.name / "list.csv"):
        with pytest.raises(UsageError, match="this manifest is given twice"):
            Walk((str(listed), str(again)))


def test_a_manifest_stays_inside(tmp_path: Path) -> None:
    touch(tmp_path, "outside.wav", "in/a.wav")
    inside = manifest(tmp_path / "in", f"file\n../outside.wav\n{tmp_path}/in/a.wav\n/etc/passwd\n")
    found = list(Walk((str(inside),)))
    assert [each.error and each.error.reason for each in found] == [
        Reason.OUTSIDE_ROOT,
        None,
        Reason.OUTSIDE_ROOT,
    ]
    wider = Walk((str(inside),), Selection(root=str(tmp_path)))
    assert [each.error and each.error.reason for each in wider][1:] == [None, Reason.OUTSIDE_ROOT]


def test_lines_that_can_be_no_file(tmp_path: Path) -> None:
    """A NUL, an address that is none: each line is still an input with a row."""
    listed = tmp_path / "list.csv"
    listed.write_text("file,näme\na.wav,René\nb\0.wav,x\nhttps://[x/a.wav,y\n../é.wav,z\n")
    walk = Walk((str(listed),))
    found = list(walk)
    assert walk.manifest_columns == ("näme",)
    assert found[0].columns == ("René",)
    reasons = [each.error.reason.value for each in found if each.error]
    assert reasons == ["not_found", "fetch_failed", "unsupported", "outside_root"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"file,name\na.wav,Ren\xe9\n",
            "line 2 is not UTF-8: found the byte 0xE9 after 'a.wav,R",
        ),
        (b"file,n\xe4me\na.wav,x\n", "line 1 is not UTF-8: found the byte 0xE4"),
        (b'file,name\n"a\n.wav",x\ncaf\xe9.wav,x\n', "line 4 is not UTF-8"),
        ("file,name\na.wav,x\n".encode("utf-16"), "line 1 is not UTF-8: found the byte 0xFF"),
    ],
)
def test_a_manifest_that_is_not_utf8_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """As Latin-1 it would be readable, too, and name other files."""
    (tmp_path / "list.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        Walk((str(tmp_path / "list.csv"),))


def test_a_spreadsheet_is_no_input(tmp_path: Path) -> None:
    touch(tmp_path, "list.xlsx")
    with pytest.raises(UsageError, match=r"found a spreadsheet, .* save it as CSV"):
        Walk((str(tmp_path / "list.xlsx"),))


def test_an_input_outside_the_root_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "root").mkdir()
    with pytest.raises(UsageError, match="outside --root"):
        Walk((str(tmp_path / "in"),), Selection(root=str(tmp_path / "root")))


def test_an_input_that_a_link_leads_out_of_the_root_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "in/a.wav", "root/b.wav")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "in")
    for name in ("link", "link/a.wav"):
        with pytest.raises(UsageError, match=r"in.*, which is outside of --root"):
            Walk((str(tmp_path / "root" / name),), Selection(root=str(tmp_path / "root")))


def test_links_do_not_lead_out_of_the_root(tmp_path: Path) -> None:
    """In folders, among the matches of globs, and in manifests."""
    touch(tmp_path, "out/a.wav", "root/in/b.wav")
    root = tmp_path / "root"
    (root / "away").symlink_to(tmp_path / "out")
    (root / "away.wav").symlink_to(tmp_path / "out" / "a.wav")
    (root / "near.wav").symlink_to(root / "in" / "b.wav")
    manifest(root, "file\naway/a.wav\naway.wav\nnear.wav\nin/b.wav\n")
    inside = {"near.wav": None, "in/b.wav": None}
    outside = {"away.wav": Reason.OUTSIDE_ROOT}
    selection = Selection(root=str(root))
    for listed, found in (
        (str(root), inside | outside | {"away/": Reason.OUTSIDE_ROOT}),
        (f"{root}/**/*.wav", inside | outside | {"away/": Reason.OUTSIDE_ROOT}),
        (f"{root}/*/*.wav", {"in/b.wav": None, "away/a.wav": Reason.OUTSIDE_ROOT}),
        (f"{root}/list.csv", inside | outside | {"away/a.wav": Reason.OUTSIDE_ROOT}),
    ):
        errors = {
            each.file: each.error and each.error.reason for each in Walk((listed,), selection)
        }
        assert errors == found, listed
    assert names(root) == ["away.wav", "in/b.wav", "near.wav", "away/a.wav"]  # nothing forbids it


def test_own_output_behind_a_link_is_no_input(tmp_path: Path) -> None:
    touch(tmp_path, "real/a.wav", "real/results.parquet")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    never = (str(tmp_path / "real" / "results.parquet"),)
    assert names(tmp_path / "link", include=("*",), never=never) == ["a.wav"]


def test_a_manifest_s_addresses_keep_their_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(object_store.RETRY, "max_retries", 0)
    text = "file\nhttps://me:word@127.0.0.1:1/a.wav?signature=secret\n"
    (found,) = Walk((str(manifest(tmp_path, text)),))
    assert found.file == found.path == "https://127.0.0.1:1/a.wav"
    assert found.error
    assert found.error.reason is Reason.FETCH_FAILED
    assert "no connection" in str(found.error)
    assert not any(word in repr(found) for word in ("secret", "word@", "me:"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,agent\na.wav,Anna\n", "found the columns path, agent"),
        ("", "found nothing"),
        ("file,a,a\nx,1,2\n", "appears twice"),
        ("file,a\nx.wav\n,1\nx.wav,1\nx.wav,2\n", "line 2: found 1 values"),
        ("file,a\n,1\n", "line 2: the file column is empty"),
        ("file,a\nx.wav,1\nx.wav,2\n", "line 3: x.wav is in line 2"),
        ("file,a\nx.wav,1\n./x.wav,2\n", "line 3: ./x.wav is in line 2"),
        ("file,start_s\nx.wav,1\n", "the column start_s without end_s; segments need both"),
        ("end_s,file\n1,x.wav\n", "the column end_s without start_s; segments need both"),
        ("file,Start_s,end_s\nx.wav,1,2\n", "found the column Start_s, expected start_s"),
        ("file,start_s,end_s,Channel\nx.wav,1,2,0\n", "the column Channel, expected channel"),
        ("file, a,a \nx.wav,1,2\n", "the column a appears twice"),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Walk((str(manifest(tmp_path, text)),))


def test_spaces_around_a_header_s_names(tmp_path: Path) -> None:
    walk = Walk((str(manifest(tmp_path, "agent , file, start_s,end_s \nAnna,a.wav, 1, 2.5\n")),))
    assert walk.has_given_segments
    assert walk.manifest_columns == ("agent",)
    assert [each[:3] for each in unpack(next(iter(walk)).given_segments)] == [(1.0, 2.5, None)]
    walk = Walk((str(manifest(tmp_path, " agent, file\nAnna,a.wav\n")),))
    assert [(each.file, each.columns) for each in walk] == [("a.wav", ("Anna",))]


def test_times_are_values_where_no_segments_are_given(tmp_path: Path) -> None:
    """With --segment speech one of them alone is fine; and Channel, where nothing is given."""
    listed = str(manifest(tmp_path, "file,start_s,END_S\na.wav,1,2\n"))
    assert Walk((listed,), allow_given_segments=False).manifest_columns == ("start_s", "END_S")
    listed = str(manifest(tmp_path, "file,Channel\na.wav,web\n"))
    assert Walk((listed,)).manifest_columns == ("Channel",)


@given(sizes=st.lists(st.integers(0, 50_000_000), max_size=200), workers=st.integers(1, 8))
def test_every_file_is_in_one_shard(sizes: list[int], workers: int) -> None:
    files = [InputFile(f"{n}.wav", f"/{n}.wav", size) for n, size in enumerate(sizes)]
    shards = list(plan(files, workers))
    assert sorted(file.file for shard in shards for file in shard) == sorted(
        file.file for file in files
    )
    for number, shard in enumerate(shards):
        planned = [work_s(file) for file in shard]
        assert planned == sorted(planned, reverse=True)
        limit = FIRST_SHARD_S if number < 2 * workers else SHARD_S
        assert sum(planned[:-1]) < limit  # no larger than it needs to be
