"""`batch-ser status` and `batch-ser retry` of outputs in an object store."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import soundfile
from conftest import Runner
from object_stores import environment, fetched, make_bucket, s3_server
from results import assert_holds, score

from batch_ser.audio.samples import Samples
from batch_ser.results import Output
from batch_ser.storage import StoredFile
from jobs.heartbeat import Heartbeat


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The address of a bucket of the test's own."""
    for name, value in environment(server).items():
        monkeypatch.setenv(name, value)
    name = "".join(each if each.isalnum() else "-" for each in request.node.name.lower())
    return make_bucket(server, name[:60].strip("-"))


@pytest.fixture
def given(tmp_path: Path, speech: Samples) -> Path:
    """A good input, and two that fail."""
    folder = tmp_path / "in"
    folder.mkdir()
    soundfile.write(folder / "good.wav", speech[64_000:96_000], 16_000)
    (folder / "empty.wav").write_bytes(b"")
    (folder / "letter.wav").write_text("a letter")
    return folder


def listing(out: str) -> list[StoredFile]:
    return list(Output(out).folder.entries())


def status_of(batch_ser: Runner, out: str) -> dict[str, Any]:
    """What `--json` prints, once it is known that looking changes nothing."""
    before = listing(out)
    done = batch_ser("status", out, "--json")
    assert done.returncode == 0, done.stderr
    assert listing(out) == before
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_a_job_and_its_failed_files(
    name: str,
    bucket: str,
    given: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = f"{bucket}/results/{name}"
    done = batch_ser("status", out)
    assert done.returncode == 2
    assert f"{out}: no output of batch-ser" in done.stderr
    with monkeypatch.context() as patch:
        patch.setattr("jobs.driver.finalise", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            score(given, out, checkpoint_path)  # type: ignore[arg-type]
    found = status_of(batch_ser, out)
    assert (found["state"], found["files_ok"], found["files_failed"]) == ("stopped", 1, 2)
    assert found["reasons"] == {"no_audio": 1, "unsupported": 1}
    assert batch_ser("retry", out).returncode == 2
    score(given, out, checkpoint_path)  # type: ignore[arg-type]
    assert status_of(batch_ser, out)["state"] == "complete"

    shutil.copy(given / "good.wav", given / "letter.wav")
    before = listing(out)
    assert batch_ser("retry", out, "--reason", "timeout").returncode == 3
    assert listing(out) == before
    done = batch_ser("retry", out, "--reason", "unsupported")
    assert done.returncode == 3, done.stderr
    assert "retried: 1; good now: 1; failed again: 0" in done.stdout
    found = status_of(batch_ser, out)
    assert (found["state"], found["files_ok"]) == ("complete", 2)
    assert found["reasons"] == {"no_audio": 1}
    if name == "out.parquet":
        assert_holds(fetched(out, tmp_path / "copy"))


def test_many_parts_are_read_at_the_same_time(
    bucket: str,
    given: Path,
    checkpoint_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each file counts once, whichever thread read its part; a driver at work is reported."""
    out = f"{bucket}/out.parquet"
    for number in range(40):
        shutil.copy(given / "letter.wav", given / f"letter{number}.wav")
    monkeypatch.setattr("jobs.commit.COMMIT_EVERY_S", 0.0)
    monkeypatch.setattr("jobs.sharding.FIRST_SHARD_S", 0.0)
    monkeypatch.setattr("jobs.sharding.SHARD_S", 0.0)
    monkeypatch.setattr("jobs.driver.finalise", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        score(given, out, checkpoint_path)  # type: ignore[arg-type]
    parts = [each for each in listing(out) if each.name.endswith(".files.parquet")]
    assert len(parts) > 20
    with Heartbeat(Output(out)):
        found = status_of(batch_ser, out)
    assert found["state"] == "stopped"  # the heartbeat is of the process that looks
    assert (found["files_ok"], found["files_failed"]) == (1, 42)
    assert found["files_not_published"] == 43
