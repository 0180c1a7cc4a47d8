"""Inputs in a store that fails in all the ways that stores do: each file fails only itself."""

import shutil
import socket
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandas as pd
import pytest
from conftest import REPOSITORY
from faulty_store import Fault, after, answers, cut, drips, drops, faulty_store, silent, stalls
from object_stores import put
from results import assert_holds, score, tables

from batch_ser.errors import Incomplete, UsageError
from batch_ser.storage import Remote, StorageError, StoredFile, object_store, open_folder
from jobs import RunConfig, RunReport, run

WHOLE: dict[str, Any] = {"segment": {"method": "whole"}}
GOOD = ("busy", "cut", "dropped", "good", "stalls")  # as on a disk, after all
FAILED = {
    "broken": "fetch_failed",
    "forbidden": "forbidden",
    "gone": "not_found",
    "slow": "fetch_failed",
}
SIZE = "size_bytes"


@pytest.fixture
def recordings(archive: Path, tmp_path: Path) -> Path:
    """A recording for each fault."""
    folder = tmp_path / "calls"
    folder.mkdir()
    found = sorted(archive.rglob("call*.wav"))
    for name, path in zip([*GOOD, *FAILED, "replaced"], found, strict=True):
        shutil.copy(path, folder / f"{name}.wav")
    return folder


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes minutes takes seconds."""
    monkeypatch.setattr(object_store, "PATIENCE_S", 1.0)
    monkeypatch.setitem(object_store.CLIENT, "read_timeout", "3s")
    monkeypatch.setitem(object_store.RETRY, "max_retries", 4)
    waits = {"init_backoff": timedelta(milliseconds=10), "max_backoff": timedelta(milliseconds=50)}
    monkeypatch.setitem(object_store.RETRY, "backoff", object_store.RETRY["backoff"] | waits)


def job(inputs: str, out: Path, checkpoint: Path, **rest: Any) -> RunReport:
    return run(RunConfig((inputs,), str(out), str(checkpoint), engine="inline", **WHOLE, **rest))


@pytest.mark.usefixtures("impatient")
def test_each_file_ends_as_it_should(
    recordings: Path,
    checkpoint_path: Path,
    s3: str,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = (recordings / "good.wav").read_bytes()
    store = open_folder(f"{bucket}/calls")
    put(recordings, f"{bucket}/calls")
    with faulty_store(s3) as faulty:
        faulty.add("busy.wav", answers(503, "SlowDown"), 3)
        faulty.add("cut.wav", cut(0.5), 3)
        faulty.add("dropped.wav", drops, 3)
        faulty.add("stalls.wav", stalls(60), 1)
        faulty.add("broken.wav", answers(500, "InternalError"))
        faulty.add("forbidden.wav", answers(403, "AccessDenied"))
        faulty.add("gone.wav", after(lambda: store.remove("gone.wav")))
        faulty.add("slow.wav", drips(1))
        faulty.add("replaced.wav", after(lambda: store.write("replaced.wav", other)), 1)
        faulty.add("list-type=2", answers(503, "SlowDown"), 3)
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        started = time.monotonic()
        report = job(f"{bucket}/calls", tmp_path / "out.parquet", checkpoint_path)
        assert time.monotonic() - started < 90
    assert report.record.counts.files == Counter({"ok": len(GOOD) + 1, "failed": len(FAILED)})
    assert_holds(tmp_path / "out.parquet")
    segments, files = tables(tmp_path / "out.parquet")
    failed = files[files["status"] == "failed"].set_index("file")
    assert dict(failed["reason"]) == {f"{name}.wav": reason for name, reason in FAILED.items()}
    messages = dict(failed["message"])
    assert "500 Internal Server Error, InternalError" in messages["broken.wav"]
    assert "403 Forbidden, AccessDenied" in messages["forbidden.wav"]
    assert "bytes in" in messages["slow.wav"]
    shutil.copy(recordings / "good.wav", recordings / "replaced.wav")
    score(recordings, tmp_path / "calm.parquet", checkpoint_path, **WHOLE)
    expected, expected_files = tables(tmp_path / "calm.parquet")
    expected = expected[~expected["file"].isin(failed.index)].reset_index(drop=True)
    pd.testing.assert_frame_equal(segments, expected, check_categorical=False, atol=1e-4)
    sizes = expected_files.set_index("file")[SIZE].drop(failed.index)
    pd.testing.assert_series_equal(files.set_index("file")[SIZE].drop(failed.index), sizes)


@pytest.mark.parametrize(("fault", "most"), [(silent(60), 4), (stalls(60), 12)])
def test_an_object_that_sends_nothing_is_given_up_with_the_first_attempt(
    fault: Fault, most: int, bucket: str, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three attempts would be at least three requests each; one that sends a half may have them."""
    monkeypatch.setitem(object_store.CLIENT, "read_timeout", "1s")
    monkeypatch.setitem(object_store.RETRY, "retry_timeout", timedelta(seconds=3))
    monkeypatch.setattr(object_store, "IN_VAIN_S", 2.0)
    store = open_folder(bucket)
    store.write("a.wav", bytes(20_000))
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        faulty.add("a.wav", fault)
        with pytest.raises(StorageError, match="no answer in time"):
            Remote().fetch(f"{bucket}/a.wav", tmp_path / "a.wav")
        assert 1 < len(faulty.requests) <= most


def test_a_server_that_refuses_connections_is_asked_as_often_as_for_any_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not three times as often: nothing came that could go on where it broke."""
    fetched: list[str] = []
    real = object_store.Bucket._fetch

    def counted(bucket: object_store.Bucket, key: str, *rest: Any) -> StoredFile:
        fetched.append(key)
        return real(bucket, key, *rest)

    monkeypatch.setattr(object_store.Bucket, "_fetch", counted)
    monkeypatch.setitem(object_store.RETRY, "max_retries", 1)
    with pytest.raises(StorageError, match="no connection; check the address"):
        Remote().fetch("http://127.0.0.1:9/a.wav", tmp_path / "a.wav")
    assert len(fetched) == 1


def test_the_longest_silence_is_that_of_the_documents() -> None:
    """Each request waits `read_timeout`; the last one begins within `retry_timeout`."""
    assert object_store.CLIENT["read_timeout"] == "30s"
    longest = object_store.RETRY["retry_timeout"] + timedelta(seconds=30)
    assert longest == timedelta(minutes=2)
    assert object_store.RETRY["retry_timeout"].total_seconds() > object_store.IN_VAIN_S
    page = (REPOSITORY / "docs" / "storage.md").read_text()
    assert "after 90 s to two minutes" in " ".join(page.split())


def test_a_version_that_was_replaced_is_not_scored_again(
    recordings: Path,
    checkpoint_path: Path,
    s3: str,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The row has the version that was fetched, so that the next run knows it."""
    other = (recordings / "good.wav").read_bytes()
    store = open_folder(f"{bucket}/calls")
    store.write("replaced.wav", (recordings / "replaced.wav").read_bytes())
    out = tmp_path / "out.parquet"
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        faulty.add("replaced.wav", after(lambda: store.write("replaced.wav", other)), 1)
        job(f"{bucket}/calls", out, checkpoint_path)
        before = out.stat().st_mtime_ns, len(faulty.requests)
        job(f"{bucket}/calls", out, checkpoint_path)
        again = faulty.requests[before[1] :]
        assert not any(method == "GET" and "replaced.wav" in path for method, path in again)
    assert out.stat().st_mtime_ns == before[0]
    assert tables(out)[1][SIZE].tolist() == [len(other)]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "before",
    [
        pytest.param(["a.wav"], id="a recording first"),
        pytest.param([], id="none before", marks=pytest.mark.exhaustive),
    ],
)
def test_a_listing_that_breaks_off_completes_nothing(
    before: list[str],
    recordings: Path,
    checkpoint_path: Path,
    s3: str,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was listed so far is kept, and the same command goes on."""
    store, out = open_folder(f"{bucket}/calls"), tmp_path / "out.parquet"
    content = (recordings / "good.wav").read_bytes()
    for number in range(1_000):
        store.write(f"b{number}.txt", b"")
    for name in [*before, "c.wav"]:
        store.write(name, content)
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        faulty.add("continuation-token", answers(503, "SlowDown"))
        with pytest.raises(Incomplete, match="503 Service Unavailable, SlowDown"):
            job(f"{bucket}/calls", out, checkpoint_path)
        assert not out.exists()
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    done = job(f"{bucket}/calls", out, checkpoint_path)
    assert done.record.counts.files_in == len(before) + 1
    assert_holds(out)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (403, "AccessDenied", r"access denied \(403 Forbidden.*expected credentials"),
        (503, "SlowDown", "503 Service Unavailable"),
        (404, "NoSuchBucket", "there is no such bucket"),
    ],
)
def test_inputs_that_cannot_be_listed(
    status: int,
    code: str,
    message: str,
    checkpoint_path: Path,
    s3: str,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        faulty.add("list-type=2", answers(status, code))
        with pytest.raises(UsageError, match=f"--input {bucket}/calls: .*{message}"):
            job(f"{bucket}/calls", tmp_path / "out.parquet", checkpoint_path)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.usefixtures("impatient")
def test_manifests_with_addresses(
    recordings: Path,
    checkpoint_path: Path,
    s3: str,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Looked up one by one: what is missing or forbidden fails alone."""
    put(recordings, f"{bucket}/calls")
    lines = [f"{bucket}/calls/{name}.wav" for name in ("good", "missing", "forbidden", "busy")]
    lines.append("s3://there-is-none/a.wav")
    manifest = tmp_path / "calls.csv"
    manifest.write_text("\n".join(["file", *lines, ""]))
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        faulty.add("forbidden.wav", answers(403, "AccessDenied"), method="HEAD")
        faulty.add("busy.wav", answers(503, "SlowDown"), 3, "HEAD")
        job(str(manifest), tmp_path / "out.parquet", checkpoint_path)
    files = tables(tmp_path / "out.parquet")[1].set_index("file")
    reasons = files["reason"].astype(object).where(files["reason"].notna(), None)
    found = {name.rpartition("/")[2]: reason for name, reason in reasons.items()}
    assert found == {
        "good.wav": None,
        "busy.wav": None,
        "missing.wav": "not_found",
        "forbidden.wav": "forbidden",
        "a.wav": "not_found",
    }


def test_an_upload_of_a_killed_client_does_not_reach_the_store_behind(s3: str) -> None:
    """It would wait for the rest of the body, and the connection be left to the next tests."""
    with faulty_store(s3) as faulty:
        host, port = urlsplit(faulty.address).netloc.split(":")
        with socket.create_connection((host, int(port)), timeout=30) as client:
            client.sendall(b"PUT /a/b HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(1) == b""
        assert not faulty.requests
