"""Folders, on this machine and in an object store: what is written is read, whole or not at all."""

import os
import subprocess
import sys
import tempfile
import time
import traceback
import uuid
from pathlib import Path

import pytest
from faulty_store import Handler, after, answers, cut, faulty_store
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from object_stores import KEYS

from batch_ser.errors import Incomplete, UsageError
from batch_ser.storage import (
    Changed,
    Folder,
    StorageError,
    object_store,
    open_folder,
    scratch_folder,
)

ODD = " %+#?=&'\"~*:;,()[]{}<>|^`@!$-_.ab2Fäé日本🙂"  # 2F: of %2F
PARTS = st.text(st.sampled_from(ODD), min_size=1, max_size=20).filter(lambda p: p.strip("."))
NAMES = st.lists(PARTS, min_size=1, max_size=3).map("/".join)
SECRET = "do-not-show-this"


@pytest.fixture(params=["disk", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    """A folder that does not exist yet."""
    if request.param == "disk":
        return open_folder(tmp_path / "a folder")
    return open_folder(f"{request.getfixturevalue('bucket')}/a folder")


def names(storage: Folder, below: str = "") -> set[str]:
    return {each.name for each in storage.entries(below)}


def test_what_is_written_is_found_and_read(storage: Folder) -> None:
    storage.write("a", b"one")
    storage.write("below/a", b"")
    storage.write("below/deeper/b", b"three")
    assert names(storage) == {"a", "below/a", "below/deeper/b"}
    assert names(storage, "below") == {"below/a", "below/deeper/b"}
    assert [storage.read(each) for each in ("a", "below/a")] == [b"one", b""]
    storage.write("a", b"another")
    found = storage.find("a")
    assert found
    assert (found.name, found.size_bytes) == ("a", 7)
    assert abs(found.modified_us / 1e6 - time.time()) < 60
    assert storage.place("a").endswith("/a folder/a")


def test_a_name_that_begins_alike_is_another_one(storage: Folder) -> None:
    storage.write("work", b"")
    storage.write("work-2/a", b"")
    storage.write("work.json", b"")
    assert names(storage, "work") == set()
    assert names(storage, "wor") == set()


def test_what_is_not_there(storage: Folder) -> None:
    assert names(storage) == set()
    assert names(storage, "below") == set()
    assert storage.find("a") is None
    storage.remove("a", "below/a")
    storage.remove()
    storage.remove_empty("below")
    for fails in (storage.read, storage.local, lambda name: storage.move(name, "b")):
        with pytest.raises(FileNotFoundError):
            fails("a")
    storage.write("below/a", b"")
    assert storage.find("below") is None, "a folder is no file"
    assert storage.find("below/a/b") is None


@given(name=NAMES, other=NAMES)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name(storage: Folder, name: str, other: str) -> None:
    top = uuid.uuid4().hex
    name, other = f"{top}/{name}", f"{top}-other/{other}"
    storage.write(name, b"content")
    assert names(storage, top) == {name}
    assert storage.find(name) is not None
    assert storage.local(name).read_bytes() == b"content"
    storage.move(name, other)
    assert storage.find(name) is None
    assert storage.read(other) == b"content"
    version = storage.replace(name, b"new", None)
    storage.replace(name, b"newer", version)
    assert storage.read(name) == b"newer"
    storage.remove(name, other)
    assert names(storage, top) | names(storage, f"{top}-other") == set()


@given(part=PARTS)
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_of_the_folder_itself(bucket: str, part: str) -> None:
    folder = open_folder(f"{bucket}/{part}/{uuid.uuid4().hex}")
    folder.write("below/a", b"1")
    assert names(folder) == names(folder, "below") == {"below/a"}


def test_replacing_needs_the_version_that_was_read(storage: Folder) -> None:
    version = storage.replace("driver.json", b"1", None)
    found = storage.find("driver.json")
    assert found
    assert found.version == version
    with pytest.raises(Changed):
        storage.replace("driver.json", b"2", None)
    newer = storage.replace("driver.json", b"2", version)
    assert newer != version
    with pytest.raises(Changed):
        storage.replace("driver.json", b"3", version)
    storage.remove("driver.json")
    with pytest.raises(Changed):
        storage.replace("driver.json", b"3", newer)
    assert storage.find("driver.json") is None


def test_a_store_without_conditions_replaces_in_any_case(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONDITIONAL_PUT", "disabled")
    folder = open_folder(bucket)
    version = folder.replace("driver.json", b"1", None)
    found = folder.find("driver.json")
    assert found
    assert found.version == version
    folder.replace("driver.json", b"2", "of another one")
    assert folder.read("driver.json") == b"2"


def test_tables_are_made_on_this_machine(storage: Folder) -> None:
    made = storage.new_tables("work/final")
    (made / "segments").mkdir()
    (made / "segments" / "1.parquet").write_bytes(b"one")
    (made / "out.parquet").write_bytes(b"two")
    storage.put_tables(made, "work/final", ["segments/1.parquet", "out.parquet"])
    assert names(storage) == {"work/final/segments/1.parquet", "work/final/out.parquet"}
    storage.move("work/final/out.parquet", "out.parquet")
    storage.settle({"", "segments"} if storage.address.startswith("s3") else {""})
    assert storage.read("out.parquet") == b"two"
    assert storage.find("work/final/out.parquet") is None


def test_an_upload_in_many_parts(bucket: str, tmp_path: Path) -> None:
    """Larger than a part: the object is whole."""
    content = bytes(range(256)) * 80_000
    (tmp_path / "large").write_bytes(content)
    folder = open_folder(bucket)
    made = folder.new_tables("made")
    (tmp_path / "large").rename(made / "large")
    folder.put_tables(made, "made", ["large"])
    assert folder.local("made/large").read_bytes() == content
    assert not (made / "large").exists(), "scratch space is free again"


@pytest.mark.parametrize("size", [3_000_000, 20_000_000])
def test_copies_that_a_store_makes_only_in_parts(
    size: int, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "COPY_BYTES", 1_000_000)
    content = bytes(range(250)) * (size // 250)
    folder = open_folder(bucket)
    folder.write("a", content)
    folder.move("a", "b")
    assert folder.local("b").read_bytes() == content
    assert folder.find("a") is None


def test_a_copy_in_parts_that_breaks_is_no_object(
    s3: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "COPY_BYTES", 1_000_000)
    monkeypatch.setitem(object_store.RETRY, "max_retries", 1)
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        folder = open_folder(bucket)
        folder.write("a", bytes(20_000_000))
        faulty.add("/a", cut(0.6))
        with pytest.raises(StorageError, match="the connection broke"):
            folder.move("a", "b")
        assert names(folder) == {"a"}


def test_local_copies_follow_their_objects(bucket: str) -> None:
    """One is fetched again when the object is another one, and only then."""
    folder, writer = open_folder(bucket), open_folder(bucket)
    for name in ("segments/1", "files/1", "embeddings/1"):
        writer.write(name, name.encode())
    kept = {name: folder.local(name) for name in names(folder)}
    assert all(folder.local(name) == path for name, path in kept.items())
    for text in (b"second", b"third"):
        writer.write("segments/1", text)
        writer.write("files/1", text + b" file")
        assert folder.local("segments/1").read_bytes() == text
        assert folder.local("files/1").read_bytes() == text + b" file"
        assert folder.local("segments/1").read_bytes() == text
    assert folder.local("embeddings/1") == kept["embeddings/1"]
    assert kept["embeddings/1"].read_bytes() == b"embeddings/1"
    assert not kept["segments/1"].exists()
    writer.remove("files/1")
    with pytest.raises(FileNotFoundError):
        folder.local("files/1")


def test_thousands_of_files_are_removed_at_once(bucket: str) -> None:
    folder = open_folder(bucket)
    folder.write("a", b"")
    folder.write("b", b"")
    folder.remove("a", *(f"none/{number}" for number in range(2_500)))
    assert names(folder) == {"b"}


def test_objects_that_mark_folders_are_no_files_of_them(bucket: str) -> None:
    """A web console makes the object `results/` for a new folder."""
    import boto3

    boto3.client("s3").put_object(Bucket=bucket.partition("//")[2], Key="results/", Body=b"")
    folder = open_folder(f"{bucket}/results")
    assert names(folder) == set()
    folder.write("a", b"")
    assert names(folder) == {"a"}


@pytest.mark.usefixtures("bucket")
def test_no_bucket() -> None:
    folder = open_folder("s3://there-is-none/results")
    assert folder.find("a") is None
    for fails in (
        lambda: folder.write("a", b""),
        lambda: folder.replace("a", b"", None),
        lambda: list(folder.entries()),
    ):
        with pytest.raises(StorageError, match="there is no such bucket; check its name"):
            fails()


@pytest.mark.parametrize(
    ("status", "code"), [(403, "InvalidAccessKeyId"), (403, "AccessDenied"), (401, "Unauthorized")]
)
def test_access_denied(
    status: int, code: str, s3: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each operation says so at once, with what the store answered, and no more of it."""
    with faulty_store(s3) as faulty:
        faulty.add("/", answers(status, code, SECRET), method="any")
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        folder = open_folder(bucket)
        started = time.monotonic()
        for fails in (
            lambda: folder.read("a"),
            lambda: folder.find("a"),
            lambda: folder.write("a", b""),
            lambda: folder.replace("a", b"", None),
            lambda: folder.local("a"),
            lambda: folder.remove("a"),
            lambda: folder.move("a", "b"),
            lambda: list(folder.entries()),
        ):
            with pytest.raises(PermissionError, match=str(status)) as raised:
                fails()
            assert_no_secret(raised.value)
        with pytest.raises(PermissionError, match=code):
            folder.read("a")
        assert time.monotonic() - started < 10


def assert_no_secret(error: BaseException) -> None:
    """Neither in an error nor in what it comes from."""
    text = "".join(traceback.format_exception(error))
    assert SECRET not in text
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in text
    assert KEYS["AWS_ACCESS_KEY_ID"] not in text


def test_a_store_that_fails_for_a_moment(
    s3: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        folder = open_folder(bucket)
        for method in ("GET", "PUT", "HEAD", "POST"):
            faulty.add("/", answers(503, "SlowDown"), 3, method)
        folder.write("a", b"content")
        assert folder.find("a")
        assert folder.read("a") == b"content"
        assert names(folder) == {"a"}
        folder.remove("a")
        assert names(folder) == set()


def test_a_store_that_fails_for_long(s3: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(object_store.RETRY, "max_retries", 2)
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        faulty.add("/", answers(503, "SlowDown", SECRET), method="any")
        folder = open_folder(bucket)
        with pytest.raises(StorageError, match="503 Service Unavailable, SlowDown") as raised:
            folder.write("a", b"")
        assert_no_secret(raised.value)
        assert len(faulty.requests) == 3


def test_no_store_answers(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(object_store.RETRY, "max_retries", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="no connection") as raised:
        open_folder(bucket).write("a", b"")
    assert_no_secret(raised.value)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "")
    with pytest.raises(StorageError, match="AWS_ALLOW_HTTP=true"):
        open_folder(bucket).write("a", b"")


def test_an_upload_that_takes_longer_than_answers_may(
    s3: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a body is sent, no answer comes."""
    monkeypatch.setitem(object_store.CLIENT, "read_timeout", "1s")
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        faulty.add("/", after(lambda: time.sleep(2)), method="PUT")
        open_folder(bucket).write("a", b"1")
        open_folder(bucket).replace("b", b"1", None)
        assert [method for method, _ in faulty.requests] == ["PUT", "PUT"]


def test_no_credentials(no_keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said at once: nobody is asked over the network again and again."""
    started = time.monotonic()
    with pytest.raises(UsageError, match="found no credentials; expected AWS_ACCESS_KEY_ID"):
        open_folder(no_keys)
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match="found no credentials"):
        open_folder(no_keys)
    assert time.monotonic() - started < 10


def test_a_machine_whose_role_may_not_be_read(
    s3: str, no_keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulty_store(s3) as faulty:
        faulty.add("/", answers(403, "Forbidden"), method="any")
        monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
        monkeypatch.setenv("AWS_METADATA_ENDPOINT", faulty.address)
        with pytest.raises(UsageError, match=r"found no credentials.* answered 403 \(PUT /latest"):
            open_folder(no_keys)


def test_a_public_bucket_needs_no_credentials(
    s3: str, no_keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        seen: list[str | None] = []
        faulty.add("/", lambda handler: _note(handler, seen), 1, "PUT")
        open_folder(no_keys).write("a", b"1")
        assert seen == [None]


def test_an_aws_profile(
    s3: str, no_keys: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys, its region and its endpoint."""
    lines = ["[default]", f"aws_access_key_id = {SECRET}", f"aws_secret_access_key = {SECRET}"]
    (tmp_path / "credentials").write_text("\n".join(lines))
    settings = ["[default]", "region = eu-west-3", f"endpoint_url = {s3}"]
    (tmp_path / "config").write_text("\n".join(settings))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        seen: list[str | None] = []
        faulty.add("/", lambda handler: _note(handler, seen), 1, "PUT")
        monkeypatch.delenv("AWS_REGION")
        open_folder(no_keys).write("a", b"1")
        assert f"Credential={SECRET}/" in str(seen)
        assert "/eu-west-3/s3/" in str(seen)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert open_folder(no_keys).read("a") == b"1"
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(UsageError, match="the profile cannot be used") as raised:
        open_folder(no_keys)
    assert_no_secret(raised.value)


def _note(handler: Handler, seen: list[str | None]) -> None:
    """Keep what a request is signed with."""
    seen.append(handler.headers.get("Authorization"))
    handler.send(handler.forward())


def test_a_profile_without_boto3(no_keys: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setitem(sys.modules, "botocore.session", None)
    with pytest.raises(UsageError, match=r"pip install 'batch-ser\[aws\]'"):
        open_folder(no_keys)


def test_scratch_space_is_freed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its folder is no longer used, and by the next process where one was killed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = (
        "import sys, os\n"
        "from batch_ser.storage import scratch_folder\n"
        "class Owner: pass\n"
        "owner = Owner()\n"
        "folder = scratch_folder(owner)\n"
        "(folder / 'copy').write_bytes(b'1')\n"
        "print(folder, flush=True)\n"
        "sys.stdin.read()\n"
    )
    environment = dict(os.environ) | {"TMPDIR": str(tmp_path)}
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout
    left = Path(process.stdout.readline().strip())
    first = Owner()
    mine = scratch_folder(first)
    assert (left / "copy").exists(), "its process runs"
    process.kill()
    process.communicate()
    second = Owner()
    assert scratch_folder(second).is_dir()
    assert not left.exists()
    assert mine.is_dir()
    del first
    assert not mine.exists()


def test_scratch_space_is_of_this_user_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shared = tmp_path / f"batch-ser-scratch-{os.getuid()}"
    shared.mkdir(mode=0o777)
    shared.chmod(0o777)
    owner = Owner()
    assert scratch_folder(owner).parent == shared
    assert shared.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("made", ["a link", "a file", "another user's"])
def test_scratch_space_of_another_user_is_refused(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who makes the folder first, or a link in its place, would read all recordings."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    place, elsewhere = tmp_path / f"batch-ser-scratch-{os.getuid()}", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if made == "a link":
        place.symlink_to(elsewhere)
    elif made == "a file":
        place.write_bytes(b"")
    else:
        place.mkdir()
        real = Path.lstat
        monkeypatch.setattr(Path, "lstat", lambda path: owned_by_another(real(path)))
    with pytest.raises(Incomplete, match="set TMPDIR"):
        scratch_folder(Owner())
    assert not list(elsewhere.iterdir())


def owned_by_another(found: os.stat_result) -> os.stat_result:
    values = list(found)
    values[4] += 1  # the user's number
    return os.stat_result(values)


def test_no_room_for_scratch_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(Incomplete, match=r"missing.*set TMPDIR"):
        scratch_folder(Owner())


class Owner:
    """Uses scratch space as long as it exists."""
