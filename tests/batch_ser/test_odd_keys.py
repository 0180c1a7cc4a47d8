"""Buckets with keys that obstore cannot read: listed by boto3, with the same errors."""

import sys
import traceback

import pytest
from faulty_store import Fault, Handler, answers, drops, faulty_store, silent
from object_stores import KEYS
from roles import KEY, use_role

from batch_ser.inputs import Selection, Walk
from batch_ser.storage import StorageError, aws_listing, open_folder

ODD = ("calls/a//b.wav", "calls/../c.wav", "calls/./d.wav", "calls/\x01.wav")
GOOD = ("calls/e.wav", "calls/ü %2F.wav")
SECRET = "do-not-show-this"
BY_BOTO3 = "encoding-type"  # a parameter that obstore does not send


@pytest.fixture
def odd(bucket: str) -> str:
    """A bucket with keys of all kinds, and an object that marks a folder."""
    import boto3

    client = boto3.client("s3")
    for key in (*ODD, *GOOD, "calls/"):
        client.put_object(Bucket=bucket.partition("//")[2], Key=key, Body=b"12")
    return bucket


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aws_listing, "ATTEMPTS", 1)
    monkeypatch.setattr(aws_listing, "READ_S", 1)


def test_each_has_a_row(odd: str) -> None:
    found = {each.name: each for each in open_folder(f"{odd}/calls").entries()}
    assert {f"calls/{name}" for name in found} == {*ODD, *GOOD}
    assert {f"calls/{name}" for name, each in found.items() if each.problem} == set(ODD)
    assert {each.size_bytes for each in found.values()} == {2}
    assert all(each.modified_us and each.version for each in found.values())
    rows = {each.file: each.error for each in Walk((f"{odd}/calls",), Selection())}
    failed = {name for name, error in rows.items() if error}
    assert failed == {"a//b.wav", "\x01.wav"}, "`.` and `..` are hidden names, without a row"
    assert len(rows) == len(failed) + len(GOOD)


def test_what_was_listed_before_is_listed_once(odd: str) -> None:
    """The first thousand by obstore, the rest by boto3."""
    folder = open_folder(f"{odd}/calls")
    for number in range(1_010):
        folder.write(f"!{number:04}.txt", b"")
    names = [each.name for each in folder.entries()]
    assert len(names) == len(set(names)) == 1_010 + len(ODD) + len(GOOD)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fault", "kind", "message"),
    [
        (answers(403, "AccessDenied", SECRET), PermissionError, "403 Forbidden, AccessDenied"),
        (answers(401, "Unauthorized", SECRET), PermissionError, "401 Unauthorized"),
        (answers(404, "NoSuchBucket", SECRET), StorageError, "there is no such bucket"),
        (answers(404, "NotHere", SECRET), FileNotFoundError, "404 Not Found, NotHere"),
        (answers(500, "InternalError", SECRET), StorageError, "500 Internal Server Error, Int"),
        (answers(503, SECRET), StorageError, "503 Service Unavailable$"),
        (drops, StorageError, "the connection broke"),
        (silent(30), StorageError, "no answer in time"),
    ],
)
def test_errors_are_those_of_every_listing(
    fault: Fault,
    kind: type[OSError],
    message: str,
    odd: str,
    s3: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        faulty.add(BY_BOTO3, fault)
        with pytest.raises(kind, match=message) as raised:
            list(open_folder(f"{odd}/calls").entries())
    assert f"{odd}/calls" in str(raised.value)
    assert_no_secret(raised.value)


def assert_no_secret(error: BaseException) -> None:
    text = "".join(traceback.format_exception(error))
    assert not any(secret in text for secret in (SECRET, *KEYS.values()))


@pytest.mark.usefixtures("impatient")
def test_a_store_that_is_gone(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = open_folder(f"{odd}/calls")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # boto3's alone: it is open
    with pytest.raises(StorageError, match="no connection"):
        list(folder.entries())


def test_a_busy_store_is_asked_again(odd: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        faulty.add(BY_BOTO3, answers(503, "SlowDown"), 2)
        assert len(list(open_folder(f"{odd}/calls").entries())) == len(ODD) + len(GOOD)


def test_no_credentials(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They went away while a job runs."""
    folder = open_folder(f"{odd}/calls")
    for name in KEYS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere/token")  # without a role
    with pytest.raises(StorageError, match="no credentials are found"):
        list(folder.entries())


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
@pytest.mark.parametrize("public", [False, True])
def test_settings_that_obstore_takes_reach_boto3(
    public: bool, variable: str, odd: str, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed: list[str] = []

    def note(handler: Handler) -> None:
        signed.append(handler.headers.get("Authorization") or "")
        handler.send(handler.forward())

    with faulty_store(s3) as faulty:
        faulty.add(BY_BOTO3, note)
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        monkeypatch.setenv(variable, faulty.address)
        monkeypatch.setenv("AWS_REGION", "eu-west-3")
        if public:
            monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
            for name in KEYS:
                monkeypatch.delenv(name)
        assert list(open_folder(f"{odd}/calls").entries())
    assert len(signed) == 1
    assert ("/eu-west-3/s3/" in signed[0]) is not public
    assert bool(signed[0]) is not public


def test_without_boto3(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "batch_ser.storage.aws_listing")
    monkeypatch.delattr("batch_ser.storage.aws_listing")
    with pytest.raises(StorageError, match=r"rename it, or pip install 'batch-ser\[aws\]'"):
        list(open_folder(f"{odd}/calls").entries())


def test_the_role_of_the_machine_is_used(
    odd: str, s3: str, no_keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked up where obstore's is, and not at the address of Amazon."""
    assert no_keys == odd
    signed: list[str] = []

    def note(handler: Handler) -> None:
        signed.append(handler.headers.get("Authorization") or "")
        handler.send(handler.forward())

    with faulty_store(s3) as store, faulty_store(s3) as metadata:
        use_role(metadata, monkeypatch)
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.address)
        store.add(BY_BOTO3, note)
        assert list(open_folder(f"{odd}/calls").entries())
    assert f"Credential={KEY}/" in signed[0]
