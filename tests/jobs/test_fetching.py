"""Files at addresses on their way to a worker: in order, bounded, and gone afterwards."""

import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import INLINE_FIRST, Runner
from object_stores import environment, make_bucket, put, s3_server
from results import assert_same_tables, score
from web_files import SIGNATURE, web_server

from batch_ser.errors import FileError, Incomplete, Reason
from batch_ser.inputs import InputFile
from batch_ser.storage import Remote, StoredFile
from jobs.worker import Fetching

WHOLE = ("--segment", "whole")


class Store:
    """Stands for `Remote`: each object is its own name; remembers what is here at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.most_bytes = self.fetched = 0

    def fetch(self, address: str, to: Path) -> StoredFile:
        if "missing" in address:
            raise FileNotFoundError(errno.ENOENT, "404 Not Found", address)
        if "full" in address:
            raise OSError(errno.ENOSPC, "No space left on device", str(to))
        to.write_bytes(b"x" * 100)
        self.fetched += 1
        here = sum(len(names) for _, _, names in os.walk(self.folder)) - 1  # one is a lock
        self.most_bytes = max(self.most_bytes, 100 * here)
        return StoredFile(address, 100, 7, "new")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = Store(tmp_path)
    monkeypatch.setattr(Remote, "fetch", store.fetch)
    return store


def objects(*names: str) -> list[InputFile]:
    return [InputFile(name, f"s3://bucket/{name}", 100, 5) for name in names]


def test_files_come_in_order_and_go_again(store: Store) -> None:
    names = [f"{number}.wav" for number in range(50)]
    fetching = Fetching(objects(*names), in_flight=4, scratch_bytes=1_000)
    for number, name in enumerate(names):
        with fetching.local(number) as file:
            assert file.file == name
            assert Path(file.path).read_bytes() == b"x" * 100
            assert file.version[:2] == (100, 7)  # what was fetched, not what was listed
        assert not Path(file.path).exists()
    assert store.fetched == 50
    assert 100 < store.most_bytes <= 1_000
    del fetching
    assert not list(store.folder.rglob("*.wav"))


def test_a_file_that_is_larger_than_the_bound_comes_alone(store: Store) -> None:
    fetching = Fetching(objects("a.wav", "b.wav"), scratch_bytes=50)
    for number in (0, 1):
        with fetching.local(number) as file:
            assert Path(file.path).exists()
    assert store.most_bytes == 100


def test_files_of_this_machine_stay_where_they_are(store: Store) -> None:
    here = InputFile("a.wav", "/calls/a.wav", 1)
    with Fetching([here]).local(0) as file:
        assert file is here
    assert not list(store.folder.iterdir())


def test_one_that_is_missing_fails_alone_and_a_full_disk_stops_the_job(store: Store) -> None:
    fetching = Fetching(objects("a.wav", "missing.wav", "b.wav", "full.wav"))
    for number in (0, 2):
        with fetching.local(number) as file:
            assert Path(file.path).exists()
        if number == 0:
            missing = pytest.raises(FileError, match=r"no such object: s3://bucket/missing\.wav")
            with missing as found, fetching.local(1):
                raise AssertionError
            assert found.value.reason is Reason.NOT_FOUND
    full = pytest.raises(Incomplete, match="No space left on device; make room in the folder for")
    with full, fetching.local(3):
        raise AssertionError
    assert store.fetched == 2


@pytest.mark.parametrize("name", ["x" * 400 + ".wav", "...", "a\0b.wav", "ü" * 200, ".wav"])
@pytest.mark.usefixtures("store")
def test_names_that_a_file_system_does_not_take(name: str) -> None:
    with Fetching(objects(name)).local(0) as file:
        assert Path(file.path).read_bytes() == b"x" * 100
        assert Path(file.path).suffix == Path(name).suffix


@pytest.mark.parametrize("engine", INLINE_FIRST)
def test_a_job_over_objects_and_signed_web_files(
    engine: str,
    archive: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    program: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The tables of a job on this disk, but for names and times; no signature is in any file."""
    calm = tmp_path / "calm.parquet"
    score(archive, calm, checkpoint_path, segment={"method": "whole"})
    options = ("--model", checkpoint_path, "--engine", engine, "--workers", 1, *WHOLE)
    with s3_server() as address, web_server(archive) as web:
        for name, value in environment(address).items():
            monkeypatch.setenv(name, value)
        bucket = make_bucket(address, "bucket")
        put(archive, f"{bucket}/calls")
        done = program("run", "--input", f"{bucket}/calls", "--out", "s3.parquet", *options)
        assert done.returncode == 0, done.stderr
        paths = sorted(path.relative_to(archive) for path in archive.glob("*/call*"))
        lines = [f"{web}/{path}?{SIGNATURE}" for path in paths]
        (tmp_path / "list.csv").write_text("\n".join(["file", *lines]) + "\n")
        done = program("run", "--input", "list.csv", "--out", "web.parquet", *options)
        assert done.returncode == 0, done.stderr
    (tmp_path / "list.csv").unlink()
    assert not any(b"Geh31m" in path.read_bytes() for path in tmp_path.glob("web*"))
    assert "Geh31m" not in done.stdout + done.stderr
    for ending in (".parquet", ".files.parquet"):
        for kind, start in (("s3", ""), ("web", f"{web}/")):
            rows = pq.read_table(tmp_path / f"{kind}{ending}")
            files = [file.removeprefix(start) for file in rows["file"].to_pylist()]
            rows = replaced(rows, "file", pa.chunked_array([files]))
            if ending == ".files.parquet":
                there = pq.read_table(calm.with_suffix(ending))["modified"]
                rows = replaced(rows, "modified", there)
            pq.write_table(rows, tmp_path / f"{kind}{ending}")
    assert_same_tables(tmp_path / "s3.parquet", calm)
    assert_same_tables(tmp_path / "web.parquet", calm)


def replaced(rows: pa.Table, column: str, values: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(column), column, values)
