"""Archives: what is listed of them, and what is read out of them, however they were made."""

import contextlib
import itertools
import json
import random
import struct
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archive_files import KINDS, add, pack
from hypothesis import given
from hypothesis import strategies as st
from object_stores import put

from batch_ser.archives import OpenArchives, archive, is_archive, split_member
from batch_ser.errors import FileError, Reason, UsageError
from batch_ser.inputs import InputFile, Selection, Walk, unpack
from batch_ser.storage import Remote, StorageError, open_folder
from batch_ser.storage.object_reader import BLOCK_BYTES, ObjectReader

FILES = {"a.wav": b"one" * 400, "sub/b c.flac": b"two", "sub/empty.wav": b"", "ü.mp3": b"3" * 1_024}


def walk(*inputs: object, **selection: object) -> Walk:
    return Walk(tuple(map(str, inputs)), Selection(**selection))  # type: ignore[arg-type]


def names(*inputs: object, **selection: object) -> list[str]:
    return [found.file for found in walk(*inputs, **selection)]


def reasons(*inputs: object, **selection: object) -> dict[str, str]:
    """The inputs that cannot be read, and why."""
    found = walk(*inputs, **selection)
    return {each.file: each.error.reason.value for each in found if each.error}


def read(file: InputFile, archives: OpenArchives | None = None) -> bytes:
    assert file.member
    archives = archives or OpenArchives()
    parts = archives.read(file.path, file.size_bytes, file.modified_us, file.member)
    return b"".join(parts)


def contents(*inputs: object) -> dict[str, bytes]:
    archives = OpenArchives()
    return {each.file: read(each, archives) for each in walk(*inputs)}


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_inputs(kind: str, tmp_path: Path) -> None:
    path = pack(FILES, tmp_path / kind)
    found = list(walk(path))
    assert [each.file for each in found] == [f"{kind}!/{name}" for name in FILES]
    assert contents(path) == {f"{kind}!/{name}": data for name, data in FILES.items()}
    version = path.stat().st_size, path.stat().st_mtime_ns // 1000, ""
    assert {each.version for each in found} == {version}, "that of the archive"
    if kind != "a.parquet":
        assert [each.content_bytes for each in found] == [*map(len, FILES.values())]


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_read_in_any_order(kind: str, tmp_path: Path) -> None:
    found = list(walk(pack(FILES, tmp_path / kind)))
    archives = OpenArchives()
    for order in itertools.permutations(found):
        assert [read(each, archives) for each in order] == [
            FILES[each.member.name] for each in order if each.member
        ]


def test_a_stream_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Members of a tar.gz in their order, by as many shards as there are."""
    found = list(walk(pack({f"{n}.wav": b"x" * 9_999 for n in range(50)}, tmp_path / "a.tgz")))
    begun: list[int] = []
    monkeypatch.setattr("gzip.GzipFile.seek", lambda *_: begun.append(1))
    archives = OpenArchives()
    assert [len(read(each, archives)) for each in found] == [9_999] * 50
    assert not begun


@pytest.mark.parametrize("folder", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_names_of_every_tar_format(folder: int, tmp_path: Path) -> None:
    long = f"{'d' * 90}/{'n' * 90}.wav"
    with tarfile.open(tmp_path / "a.tar", "w", format=folder) as tar:
        for name in ("./x.wav", "sub//./y.wav", long, "z/ü.wav"):
            add(tar, name, name.encode())
        add(tar, "folder", kind=tarfile.DIRTYPE)
        add(tar, "folder.wav", kind=tarfile.DIRTYPE)
    expected = ["x.wav", "sub/y.wav", long, "z/ü.wav"]
    assert names(tmp_path / "a.tar") == [f"a.tar!/{name}" for name in expected]
    assert [*contents(tmp_path / "a.tar").values()][2] == long.encode()


def test_bytes_of_names_that_are_no_utf8(tmp_path: Path) -> None:
    with tarfile.open(
        tmp_path / "a.tar", "w", encoding="latin-1", format=tarfile.GNU_FORMAT
    ) as tar:
        add(tar, "gr\xfc\xdfe.wav", b"x")
        add(tar, "100%25.wav", b"y")
    assert names(tmp_path / "a.tar") == ["a.tar!/gr%FC%DFe.wav", "a.tar!/100%2525.wav"]


def test_archives_among_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "day").mkdir(parents=True)
    (folder / "x.wav").write_bytes(b"x")
    for name in ("a.tar", "day/b.ZIP", "c.parquet"):
        pack({"m.wav": b"m", "m.txt": b"t", ".h.wav": b"h"}, folder / name.lower()).rename(
            folder / name
        )
    members = ["a.tar!/m.wav", "day/b.ZIP!/m.wav"]
    assert names(folder) == [members[0], members[1], "x.wav"]
    assert names(folder / "**" / "*.ZIP") == [members[1]]
    assert names(folder / "*.tar") == [members[0]]
    assert names(folder / "*.parquet") == [
        f"c.parquet!/{name}" for name in ("m.wav", "m.txt", ".h.wav")
    ]
    assert names(folder / "a.tar", root=str(folder)) == [members[0]]
    assert names(folder / "a.tar", folder / "x.wav") == [
        f"{folder}/a.tar!/m.wav",
        f"{folder}/x.wav",
    ]
    found = walk(folder)
    assert len(list(found)) == 3
    assert found.ignored == 3, "two texts, and a table that is not named"


def test_members_are_chosen_by_name(tmp_path: Path) -> None:
    pack({"a.wav": b"", "old/b.wav": b"", "c.dat": b""}, tmp_path / "x.tar")
    (tmp_path / "d.wav").write_bytes(b"")
    assert names(tmp_path, include=("*.dat",)) == ["x.tar!/c.dat"]
    assert names(tmp_path, include=("*",)) == ["d.wav"] + [
        f"x.tar!/{name}" for name in ("a.wav", "old/b.wav", "c.dat")
    ]
    assert names(tmp_path, include=("*.tar",)) == ["x.tar!/a.wav", "x.tar!/old/b.wav"]
    assert names(tmp_path, exclude=("*old/*",)) == ["d.wav", "x.tar!/a.wav"]
    assert names(tmp_path, exclude=("*.tar",)) == ["d.wav"]
    assert names(tmp_path / "x.tar", include=("b.*",)) == ["x.tar!/old/b.wav"]


def test_one_member_is_an_input(tmp_path: Path) -> None:
    path = pack(FILES, tmp_path / "a.zip")
    assert names(f"{path}!/sub/b c.flac") == ["a.zip!/sub/b c.flac"]
    assert reasons(f"{path}!/none.wav") == {"a.zip!/none.wav": "not_found"}
    with pytest.raises(UsageError, match="no such file"):
        walk(f"{tmp_path}/none.zip!/x.wav")
    assert split_member("a!/b.tar!/c!/d") == ("a!/b.tar", "c!/d")
    assert split_member("a!/b") == ("", "")


def test_members_of_one_name_have_a_row_each(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        for name, data in (("a.wav", b"1"), ("./a.wav", b"2"), ("a.wav#2", b"3"), ("a.wav", b"4")):
            add(tar, name, data)
    listed = list(walk(tmp_path / "a.tar", include=("*",)))
    assert [each.file.partition("!/")[2] for each in listed] == [
        *("a.wav", "a.wav#2", "a.wav#2#2", "a.wav#3")
    ]
    assert [read(each) for each in listed] == [b"1", b"2", b"3", b"4"]


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz", "a.zip"])
def test_values_beside_a_recording(kind: str, tmp_path: Path) -> None:
    """WebDataset: members of one sample share their names up to the first dot."""
    values = {
        "speaker": "Anna",
        "age": 31,
        "rate": 2.5,
        "ok": True,
        "none": None,
        "x": [1],
        "1": 2.0,
    }
    bad = {
        "b.json": b"{not json",
        "c.json": b"[1, 2]",
        "d.json": b'{"big": "' + b"x" * 70_000 + b'"}',
    }
    content = {"s1/a.left.wav": b"", "s1/a.json": json.dumps(values).encode(), "s1/a.wav": b""}
    content |= (
        bad
        | {f"{name}.wav": b"" for name in "bcd"}
        | {"s2/a.wav": b"", "s2/a.json": b'{"age": "4"}'}
    )
    found = walk(pack(content, tmp_path / kind))
    assert found.manifest_columns == ("1", "age", "none", "ok", "rate", "speaker")
    of = {each.file.partition("!/")[2]: each.columns for each in found}
    assert of["s1/a.wav"] == of["s1/a.left.wav"] == ("2", "31", None, "True", "2.5", "Anna")
    assert of["s2/a.wav"] == (None, "4", None, None, None, None)
    assert of["b.wav"] == of["c.wav"] == of["d.wav"] == (None,) * 6


@pytest.mark.parametrize("kind", KINDS)
def test_lines_of_a_manifest_name_members(kind: str, tmp_path: Path) -> None:
    """With values or given segments of their own; a member has one row, and others theirs."""
    path = pack(FILES, tmp_path / kind)
    lines = [f"{kind}!/{name},A" for name in ("a.wav", "ü.mp3", "none.wav")]
    (tmp_path / "list.csv").write_text("\n".join(["file,agent", *lines, f"no{kind}!/a.wav,B"]))
    found = walk(tmp_path / "list.csv")
    listed = {each.file.partition("!/")[2]: each for each in found if each.file.startswith(kind)}
    assert [each.columns for each in listed.values()] == [("A",)] * 3
    assert read(listed["ü.mp3"]) == FILES["ü.mp3"]
    assert set(reasons(tmp_path / "list.csv").values()) == {"not_found"}
    both = [each.file for each in walk(tmp_path / "list.csv", path)]
    assert len(both) == len(set(both)) == len(FILES) + 2
    (tmp_path / "times.csv").write_text(f"file,start_s,end_s\n{kind}!/a.wav,0.5,1\n")
    [given_times] = walk(tmp_path / "times.csv")
    assert [(each.start_s, each.end_s) for each in unpack(given_times.given_segments)] == [(0.5, 1)]
    assert read(given_times) == FILES["a.wav"]


def test_columns_of_all_inputs(tmp_path: Path) -> None:
    """Null where an input has none, whatever the order of the archives."""
    pack({"b.wav": b"", "b.json": b'{"agent": "Ben", "b": 1}'}, tmp_path / "b.tar")
    pack({"x.wav": b""}, tmp_path / "c.parquet")
    (tmp_path / "d.wav").write_bytes(b"")
    (tmp_path / "list.csv").write_text("file,agent\nd.wav,Dora\n")
    inputs = [tmp_path / name for name in ("b.tar", "c.parquet", "list.csv")]
    found = walk(*inputs, tmp_path)
    assert found.manifest_columns == ("agent", "b", "label", "loud")
    assert {each.file.rpartition("/")[2]: each.columns for each in found} == {
        "d.wav": ("Dora", None, None, None),
        "b.wav": ("Ben", "1", None, None),
        "x.wav": (None, None, "0", "True"),
    }


def test_rows_of_hugging_face(tmp_path: Path) -> None:
    audio = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [
        {"bytes": b"1", "path": "/home/me/a.wav"},
        {"bytes": b"2", "path": None},
        {"bytes": None, "path": "c.wav"},
        None,
        {"bytes": b"5", "path": "/home/me/a.wav"},
    ]
    table = {"audio": pa.array(rows, audio), "text": ["a", None, "c", "d", "e"], "z": [[1]] * 5}
    pq.write_table(pa.table(table), tmp_path / "x.parquet", row_group_size=3)
    found = list(walk(tmp_path / "x.parquet"))
    assert [each.file.partition("!/")[2] for each in found] == [
        *("home/me/a.wav", "1", "c.wav", "3", "home/me/a.wav#2")
    ]
    assert [each.columns for each in found] == [("a",), (None,), ("c",), ("d",), ("e",)]
    assert [read(found[at]) for at in (0, 1, 4)] == [b"1", b"2", b"5"]
    for at in (2, 3):
        with pytest.raises(FileError, match="not embedded") as raised:
            read(found[at])
        assert raised.value.reason is Reason.NOT_FOUND


def hostile_tar(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        add(tar, "/etc/passwd.wav", b"x")
        add(tar, "../../up.wav", b"x")
        add(tar, "sub/..\\up.wav", b"x")
        add(tar, "link.wav", kind=tarfile.SYMTYPE)
        add(tar, "hard.wav", kind=tarfile.LNKTYPE)
        add(tar, "device.wav", kind=tarfile.CHRTYPE)
        add(tar, "pipe.wav", kind=tarfile.FIFOTYPE)
        add(tar, "notes.txt", kind=tarfile.SYMTYPE)
        add(tar, "good.wav", b"good")


def test_a_hostile_tar(tmp_path: Path) -> None:
    hostile_tar(tmp_path / "a.tar")
    assert reasons(tmp_path / "a.tar") == {
        "a.tar!//etc/passwd.wav": "outside_root",
        "a.tar!/../../up.wav": "outside_root",
        "a.tar!/sub/..\\up.wav": "outside_root",
        "a.tar!/link.wav": "not_a_file",
        "a.tar!/hard.wav": "not_a_file",
        "a.tar!/device.wav": "not_a_file",
        "a.tar!/pipe.wav": "not_a_file",
    }
    assert names(tmp_path / "a.tar")[-1] == "a.tar!/good.wav"


def test_a_hostile_zip(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("/root.wav", "C:\\x.wav", "../up.wav"):
            archive.writestr(name, b"x")
        link = zipfile.ZipInfo("link.wav")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("bzip2.wav", b"x" * 99, zipfile.ZIP_BZIP2)
        archive.writestr("secret.wav", b"secret")
        archive.writestr("good.wav", b"good")
    data = bytearray(path.read_bytes())
    at = data.index(b"secret.wav", data.index(b"PK\x01\x02"))
    data[at - 46 + 8] |= 1  # encrypted, says the directory
    path.write_bytes(data)
    assert reasons(path) == {
        "a.zip!//root.wav": "outside_root",
        "a.zip!/C:\\x.wav": "outside_root",
        "a.zip!/../up.wav": "outside_root",
        "a.zip!/link.wav": "not_a_file",
        "a.zip!/bzip2.wav": "unsupported",
        "a.zip!/secret.wav": "unsupported",
    }
    assert "encrypted" in str([each.error for each in walk(path)])


def zip_of(path: Path, size: int, stated: int) -> Path:
    """A zip file with zeros, of which its directory states another size."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.wav", bytes(size))
        archive.writestr("good.wav", b"good")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02")
    struct.pack_into("<I", data, at + 24, stated)
    path.write_bytes(data)
    return path


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither memory nor disk is filled: at most what is stated, and not more than a limit."""
    lies = zip_of(tmp_path / "lies.zip", 100_000_000, 100)
    bomb, good = walk(lies)
    tracemalloc.start()
    with pytest.raises(FileError, match="its size is not") as raised:
        read(bomb)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()
    assert raised.value.reason is Reason.CORRUPT
    assert read(good) == b"good"
    monkeypatch.setattr(archive, "BOMB_BYTES", 1_000_000)
    [bomb, _] = walk(zip_of(tmp_path / "bomb.zip", 5_000_000, 5_000_000))
    with pytest.raises(FileError, match="no bomb") as raised:
        read(bomb)
    assert raised.value.reason is Reason.UNSUPPORTED
    stream = pack({"a.wav": b"a", "zeros.txt": bytes(5_000_000), "b.wav": b"b"}, tmp_path / "b.tgz")
    assert names(stream) == ["b.tgz!/a.wav", "b.tgz"], "what is behind it has no chance"
    assert reasons(stream) == {"b.tgz": "unsupported"}
    monkeypatch.setattr(archive, "MAX_MEMBER_BYTES", 1_000)
    [large] = walk(pack({"a.wav": bytes(1_001)}, tmp_path / "l.tar"))
    with pytest.raises(FileError, match="expected at most 1,000"):
        read(large)


def test_a_wrong_sum_of_a_zip(tmp_path: Path) -> None:
    path = pack({"a.wav": b"hello", "b.wav": b"b"}, tmp_path / "stored.zip")
    path.write_bytes(path.read_bytes().replace(b"hello", b"jello"))
    one, other = walk(path)
    with pytest.raises(FileError, match="its CRC is not"):
        read(one)
    assert read(other) == b"b"


def test_damaged_archives(tmp_path: Path) -> None:
    """Members in front of the damage have rows, and the archive has one, too."""
    whole = pack({"a.wav": b"a" * 600, "b.wav": b"b" * 600}, tmp_path / "w.tar").read_bytes()
    for kept, expected in (
        (len(whole), ["a.wav", "b.wav"]),
        (3_072, ["a.wav", "b.wav"]),  # without the zeros at its end, which some programs leave out
        (2_600, ["a.wav", "b.wav", None]),
        (1_700, ["a.wav", None]),
        (700, ["a.wav", None]),
        (100, [None]),
        (0, [None]),
    ):
        (tmp_path / "x.tar").write_bytes(whole[:kept])
        found = [f"x.tar!/{name}" if name else "x.tar" for name in expected]
        assert names(tmp_path / "x.tar") == found, kept
        assert reasons(tmp_path / "x.tar") == ({"x.tar": "corrupt"} if None in expected else {})
    damaged = bytearray(whole)
    damaged[1_536 + 5] ^= 0xFF  # the name in the second header: its sum is wrong
    (tmp_path / "x.tar").write_bytes(damaged)
    assert names(tmp_path / "x.tar") == ["x.tar!/a.wav", "x.tar"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_archive(kind: str, tmp_path: Path) -> None:
    (tmp_path / kind).write_bytes(b"Dear Sir, this is a letter.\n" * 40)
    (tmp_path / "good.wav").write_bytes(b"")
    assert reasons(tmp_path / f"[{kind[0]}]{kind[1:]}") == {kind: "corrupt"}
    if kind == "a.parquet":
        with pytest.raises(UsageError, match="not a Parquet file"):
            walk(tmp_path / kind)  # as a manifest
        return
    found = names(tmp_path / kind, tmp_path)
    assert set(found) == {f"{tmp_path}/good.wav", f"{tmp_path}/{kind}"}


def test_a_table_without_audio(tmp_path: Path) -> None:
    pq.write_table(pa.table({"audio": ["a.wav"]}), tmp_path / "t.parquet")
    assert reasons(tmp_path / "*.parquet") == {"t.parquet": "unsupported"}
    with pytest.raises(UsageError, match="column named file"):
        walk(tmp_path / "t.parquet")  # a manifest


@pytest.mark.parametrize("kind", ["a.tar", "a.zip"])
def test_an_empty_archive(kind: str, tmp_path: Path) -> None:
    found = walk(pack({}, tmp_path / kind))
    assert list(found) == []
    with pytest.raises(UsageError, match="no recordings found"):
        found.check_any()


def test_an_archive_that_changes_after_it_was_listed(tmp_path: Path) -> None:
    path = pack(FILES, tmp_path / "a.tar")
    first = next(iter(walk(path)))
    pack(FILES | {"new.wav": b"n"}, path)
    with pytest.raises(FileError, match="changed") as raised:
        read(first)
    assert raised.value.reason is Reason.FETCH_FAILED


def test_a_listing_is_small(tmp_path: Path) -> None:
    """Bytes of the driver's memory for each of 5,000 members, with two columns."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive_file:
        for number in range(5_000):
            archive_file.writestr(f"calls/{number:06}.wav", b"x")
            values = {"agent": f"agent {number % 50}", "call": number}
            archive_file.writestr(f"calls/{number:06}.json", json.dumps(values))
    tracemalloc.start()
    found = walk(tmp_path / "a.zip")
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert len(list(found)) == 5_000
    assert held < 5_000 * 700


CONTENT = st.dictionaries(
    st.text("abü%!/. #", min_size=1, max_size=9), st.binary(max_size=700), max_size=6
)


@given(content=CONTENT, kind=st.sampled_from(KINDS))
def test_every_file_is_read_as_it_was_packed(
    content: dict[str, bytes], kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the names: a row each, none twice, and the bytes of those that are no way out."""
    packed = {f"x{name}y.wav": data for name, data in content.items()}
    path = pack(packed, tmp_path_factory.mktemp("any") / kind)
    found = list(walk(path))
    hidden = () if kind == "a.parquet" else [each for each in packed if "/." in each]
    hidden = [each for each in hidden if not _only_dots(each)]
    assert len({each.file for each in found}) == len(found) == len(packed) - len(hidden)
    for each in found:
        assert each.member
        if not each.error:
            assert read(each) == packed[each.member.name]


def _only_dots(name: str) -> bool:
    """Whether parts that begin with a dot are nothing else, which hides no file."""
    parts = [part for part in name.split("/") if part.startswith(".")]
    return (".." in parts and all(part == ".." for part in parts)) or set(parts) <= {"."}


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_archives(kind: str, tmp_path: Path) -> None:
    """Seeded: each is listed and read, or has rows that state why; nothing else is raised."""
    content = {f"{number}.wav": bytes([number]) * 900 for number in range(5)}
    whole = pack(content | {"0.json": b'{"a": 1}'}, tmp_path / kind).read_bytes()
    source = random.Random(kind)
    for _ in range(100):
        data = bytearray(whole)
        for _ in range(source.choice([1, 1, 3, 20])):
            at = source.randrange(len(data))
            data[at] = source.choice([0, 0xFF, data[at] ^ 1 << source.randrange(8)])
        if source.random() < 0.3:
            del data[source.randrange(len(data)) :]
        (tmp_path / kind).write_bytes(data)
        archives = OpenArchives()
        for each in walk(tmp_path / f"[{kind[0]}]{kind[1:]}"):
            assert each.error or each.member
            if each.member and not each.error:
                with contextlib.suppress(FileError):
                    assert len(read(each, archives)) <= 1_000_000


@pytest.mark.parametrize("kind", KINDS)
def test_archives_in_an_object_store(kind: str, bucket: str, tmp_path: Path) -> None:
    content = FILES | {"long.wav": random.Random(1).randbytes(300_000), "long.json": b'{"a": "b"}'}
    pack(content, tmp_path / kind)
    (tmp_path / "x.wav").write_bytes(b"x")
    put(tmp_path, f"{bucket}/in")
    here, there = contents(tmp_path / kind), contents(f"{bucket}/in/{kind}")
    assert here == there
    in_folder = kind != "a.parquet"
    found = (
        [f"{kind}!/{name}" for name in content if not name.endswith("json")] if in_folder else []
    )
    assert names(f"{bucket}/in") == [*found, "x.wav"]
    if in_folder:
        assert walk(f"{bucket}/in/*.{kind.partition('.')[2]}").manifest_columns == ("a",)
        assert not walk(f"{bucket}/in").manifest_columns  # listed when the job has begun
        assert names(f"{bucket}/in/*.{kind.partition('.')[2]}") == found
    assert names(f"{bucket}/in/{kind}!/a.wav") == [f"{kind}!/a.wav"]


def test_a_listing_reads_headers_alone(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a member is one request."""
    pack({f"{number}.wav": bytes(1_000_000) for number in range(5)}, tmp_path / "a.tar")
    put(tmp_path, bucket)
    requested: list[int] = []
    get = ObjectReader._request
    monkeypatch.setattr(
        ObjectReader, "_request", lambda *a: [requested.append(len(d := get(*a))), d][1]
    )
    found = list(walk(f"{bucket}/a.tar"))
    assert len(requested) <= 6
    assert sum(requested) <= 6 * BLOCK_BYTES
    requested.clear()
    assert read(found[3]) == bytes(1_000_000)
    assert requested == [1_000_000]


def test_an_object_that_changes_while_it_is_read(bucket: str, tmp_path: Path) -> None:
    pack({"a.wav": bytes(200_000)}, tmp_path / "a.tar")
    put(tmp_path, bucket)
    remote = Remote()
    found = remote.find(f"{bucket}/a.tar")
    assert found
    with remote.open(f"{bucket}/a.tar", found) as file:
        assert len(file.read(100)) == 100
        open_folder(bucket).write("a.tar", b"other" * 50_000)
        file.seek(150_000)
        with pytest.raises(StorageError, match="changed"):
            file.read(100)


def test_endings() -> None:
    assert all(map(is_archive, ("a.tar", "b.TAR.GZ", "c.tgz", "d.zip")))
    assert not any(map(is_archive, ("a.parquet", "tar", "a.tar.bz2", "a.gz")))


def test_backslashes_in_names_of_old_windows_programs(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, system in (("monday\\a.wav", 0), ("..\\b.wav", 0), ("c\\d.wav", 3)):
            info = zipfile.ZipInfo(name)
            info.create_system = system
            archive.writestr(info, b"x")
    found = {each.file: each.error for each in walk(tmp_path / "a.zip")}
    assert found.keys() == {"a.zip!/monday/a.wav", "a.zip!/../b.wav", "a.zip!/c\\d.wav"}
    assert found["a.zip!/monday/a.wav"] is None
    assert found["a.zip!/../b.wav"]


def test_rows_of_parquet_without_paths(tmp_path: Path) -> None:
    """pandas writes a column without a type where no row has a path."""
    rows = [{"bytes": b"one", "path": None}, {"bytes": b"two", "path": None}]
    pq.write_table(pa.table({"audio": rows, "a": ["x", "y"]}), tmp_path / "a.parquet")
    assert names(tmp_path / "a.parquet") == ["a.parquet!/0", "a.parquet!/1"]
