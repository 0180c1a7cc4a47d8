"""Jobs whose output is in an object store: as on a disk, however they are disturbed."""

import dataclasses
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import LABELS, PROGRAM, MakeOnce, Runner
from faulty_store import answers, cut, faulty_store
from interruptions import (
    Interruption,
    assert_no_mixture,
    assert_tidy,
    at_request,
    interrupted,
)
from networks import small_checkpoint
from object_stores import fetched, put
from obstore.exceptions import PermissionDeniedError
from results import assert_equal, assert_holds

from batch_ser.errors import AlreadyRunning, Incomplete
from batch_ser.results.layout import Output
from batch_ser.results.verification import verify
from batch_ser.storage import object_store, open_folder
from jobs import RunConfig, RunReport, driver, run
from jobs.adapt import adapt_again
from jobs.heartbeat import Driver
from jobs.worker import ShardResult

WHOLE: dict[str, Any] = {"segment": {"method": "whole"}}
EARLY, LATE = 2, 4  # files of the archive, in two steps
KINDS = pytest.mark.parametrize("name", ["out.parquet", "out"])
ONE_KIND = pytest.mark.parametrize(
    "name", ["out.parquet", pytest.param("out", marks=pytest.mark.exhaustive)]
)


@pytest.fixture(scope="module")
def adapting(make_once: MakeOnce) -> Path:
    """A small checkpoint with an offset head."""

    def make(folder: Path) -> None:
        small_checkpoint(folder / "x.safetensors", "whisper, offset", LABELS)

    return make_once("adapting stores", make) / "x.safetensors"


def job(archive: Path, out: object, checkpoint: Path, **rest: Any) -> RunReport:
    options: dict[str, Any] = {"engine": "inline"} | WHOLE | rest
    return run(RunConfig((str(archive),), str(out), str(checkpoint), **options))


@pytest.fixture(scope="module")
def outputs(make_once: MakeOnce, archive: Path, adapting: Path) -> Path:
    """Outputs on disk, of both kinds: of a first run, of one that follows, and adapted again."""

    def make(folder: Path) -> None:
        for name in ("out.parquet", "out"):
            job(archive, folder / "early" / name, adapting, limit=EARLY)
            job(archive, folder / "late" / name, adapting, limit=LATE)
            job(archive, folder / "adapted" / name, adapting, limit=EARLY)
            adapt_again(str(folder / "adapted" / name), "recording")

    return make_once("outputs for stores", make)


@ONE_KIND
def test_a_job_from_its_first_run_to_its_restart(
    name: str, outputs: Path, archive: Path, adapting: Path, bucket: str, tmp_path: Path
) -> None:
    out = f"{bucket}/results/{name}"
    before = dict.fromkeys(tmp_path.iterdir())
    assert job(archive, out, adapting, limit=EARLY).exit_code == 0
    assert_as(out, outputs / "early" / name, tmp_path / "1")
    modified = {each.name: each.modified_us for each in Output(out).folder.entries()}
    job(archive, out, adapting, limit=EARLY)
    assert modified == {each.name: each.modified_us for each in Output(out).folder.entries()}, (
        "a run with nothing to do writes nothing"
    )
    job(archive, out, adapting, limit=LATE)
    assert_as(out, outputs / "late" / name, tmp_path / "2")
    adapt_again(out, "recording")
    adapt_again(out, "archive")
    assert_as(out, outputs / "late" / name, tmp_path / "3")
    job(archive, out, adapting, limit=EARLY, restart=True)
    assert_as(out, outputs / "early" / name, tmp_path / "4")
    adapt_again(out, "recording")
    assert_as(out, outputs / "adapted" / name, tmp_path / "5")
    assert set(tmp_path.iterdir()) - set(before) == {tmp_path / str(n) for n in range(1, 6)}


def assert_as(out: str, expected: Path, folder: Path) -> None:
    """An output in a store has the tables of one on disk, and nothing else is left there."""
    assert_no_mixture(out)
    assert_tidy(out)
    verdict = verify(Output(out))
    assert not verdict.faults, verdict.faults
    copy = fetched(out, folder)
    assert_equal(copy, expected)
    assert_holds(copy)


def test_an_offset_is_taken_over_from_a_store(
    outputs: Path, archive: Path, adapting: Path, bucket: str, tmp_path: Path
) -> None:
    put(outputs / "late", bucket)
    for source in (f"{bucket}/out.parquet", outputs / "late" / "out.parquet"):
        name = f"{bucket if source == f'{bucket}/out.parquet' else tmp_path}/other/out.parquet"
        job(archive, name, adapting, limit=EARLY, adapt_from=str(source))
    assert_equal(
        fetched(f"{bucket}/other/out.parquet", tmp_path / "copy"),
        tmp_path / "other" / "out.parquet",
    )


def test_every_command(
    outputs: Path, archive: Path, adapting: Path, bucket: str, batch_ser: Runner
) -> None:
    put(outputs / "early", bucket)
    out = f"{bucket}/out.parquet"
    assert batch_ser("verify", out).returncode == 0
    assert batch_ser("adapt", out, "--adapt", "recording").returncode == 0
    recording = archive / "day0" / "call00.wav"
    predict = ["predict", recording, "--model", adapting, "--adapt-from", out]
    assert batch_ser(*predict).returncode == 0
    store = open_folder(bucket)
    store.write("out.files.parquet", b"PAR1 damaged")
    done = batch_ser("verify", out)
    assert done.returncode != 0
    assert "out.files.parquet: not the file that the job wrote" in done.stdout + done.stderr


COMMANDS = ("run", "run --restart", "verify", "adapt", "status", "retry")
COMMANDS += ("run --adapt-from", "predict")


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("fault", ["forbidden", "no bucket", "no answer", "no credentials"])
def test_a_store_that_cannot_be_used_is_a_sentence(
    fault: str,
    command: str,
    archive: Path,
    adapting: Path,
    s3: str,
    bucket: str,
    tmp_path: Path,
    batch_ser: Runner,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of each command: one line, no traceback, a status, soon, and no secret."""
    monkeypatch.setitem(object_store.RETRY, "max_retries", 1)
    out = f"{bucket}/out.parquet"
    words = {
        "forbidden": "403 Forbidden",
        "no bucket": "there is no such bucket",
        "no answer": "no connection to http://127.0.0.1:9 (AWS_ENDPOINT_URL); check",
        "no credentials": "found no credentials",
    }[fault]
    if fault == "no bucket" and command in ("run --adapt-from", "predict"):
        words = "found no complete output"
    run = ["run", "--input", archive, "--model", adapting, "--engine", "inline", "--limit", 1]
    recording = archive / "day0" / "call00.wav"
    with faulty_store(s3) as faulty:
        if fault == "forbidden":
            faulty.add("/", answers(403, "InvalidAccessKeyId"), method="any")
            monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        elif fault == "no bucket":
            out = "s3://there-is-none/out.parquet"
        elif fault == "no answer":
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        else:
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        arguments: dict[str, list[Any]] = {
            "run": [*run, "--out", out],
            "run --restart": [*run, "--out", out, "--restart"],
            "verify": ["verify", out],
            "adapt": ["adapt", out],
            "status": ["status", out],
            "retry": ["retry", out],
            "run --adapt-from": [*run, "--out", tmp_path / "o.parquet", "--adapt-from", out],
            "predict": ["predict", recording, "--model", adapting, "--adapt-from", out],
        }
        started = time.monotonic()
        done = batch_ser(*arguments[command])
    assert done.returncode in (1, 2), done.stderr
    assert words in done.stderr.splitlines()[-1], done.stderr
    assert "Traceback" not in done.stderr
    assert "test-secret" not in done.stderr
    assert time.monotonic() - started < 60


@ONE_KIND
def test_a_store_that_fails_now_and_then(
    name: str,
    outputs: Path,
    archive: Path,
    adapting: Path,
    s3: str,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with faulty_store(s3) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.address)
        for method in ("GET", "PUT", "POST", "HEAD"):
            faulty.add("out", answers(503, "SlowDown"), 3, method)
        faulty.add(".parquet", cut(0.5), 3)
        out = f"{bucket}/{name}"
        job(archive, out, adapting, limit=EARLY)
        job(archive, out, adapting, limit=LATE)
        assert_as(out, outputs / "late" / name, tmp_path)


@KINDS
@pytest.mark.parametrize("at", [0, 3, 6, 8])
def test_a_store_that_fails_for_good(
    at: int, name: str, outputs: Path, archive: Path, adapting: Path, bucket: str, tmp_path: Path
) -> None:
    """From some request on: a sentence, and later the same command ends the job."""
    put(outputs / "early", bucket)
    out = f"{bucket}/{name}"

    def fail() -> None:
        raise PermissionDeniedError("status code: 403 Forbidden: <Code>ExpiredToken</Code>")

    with pytest.raises(Incomplete, match="ExpiredToken"), at_request(at, fail):
        job(archive, out, adapting, limit=LATE)
    assert_no_mixture(out)
    job(archive, out, adapting, limit=LATE)
    assert_as(out, outputs / "late" / name, tmp_path)


def at_work(**changes: Any) -> bytes:
    """What the heartbeat of a driver on another machine states."""
    other = dataclasses.replace(Driver.this(), host="elsewhere", token="other")
    return json.dumps(dataclasses.asdict(other) | changes).encode()


def test_one_driver_at_a_time(
    outputs: Path, archive: Path, adapting: Path, bucket: str, tmp_path: Path
) -> None:
    out, store = f"{bucket}/out.parquet", open_folder(bucket)
    store.write("out.work/driver.json", at_work())
    with pytest.raises(AlreadyRunning, match="on host elsewhere"):
        job(archive, out, adapting, limit=EARLY)
    store.write("out.work/driver.json", at_work(beat=time.time() - 100))
    job(archive, out, adapting, limit=EARLY)
    assert_as(out, outputs / "early" / "out.parquet", tmp_path)


def test_a_driver_that_is_taken_over_publishes_nothing(
    outputs: Path,
    archive: Path,
    adapting: Path,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out, store = f"{bucket}/out.parquet", open_folder(bucket)
    put(outputs / "early", bucket)
    score_shard = driver.score_shard

    def scoring(*arguments: Any) -> ShardResult:
        store.write("out.work/driver.json", at_work())
        return score_shard(*arguments)

    monkeypatch.setattr(driver, "score_shard", scoring)
    with pytest.raises(Incomplete, match="another driver has taken over"):
        job(archive, out, adapting, limit=LATE)
    assert json.loads(store.read("out.work/driver.json"))["token"] == "other"
    monkeypatch.setattr(driver, "score_shard", score_shard)
    store.write("out.work/driver.json", at_work(beat=0.0))
    job(archive, out, adapting, limit=LATE)
    assert_as(out, outputs / "late" / "out.parquet", tmp_path)


@pytest.mark.slow
def test_three_drivers_at_once(
    outputs: Path, archive: Path, adapting: Path, bucket: str, tmp_path: Path
) -> None:
    """One of them does the work: where the store knows conditions, one alone can begin."""
    out = f"{bucket}/out.parquet"
    command = [PROGRAM, "run", "--input", archive, "--out", out, "--model", adapting]
    command += ["--engine", "inline", "--segment", "whole", "--limit", LATE]
    drivers = [
        subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    ended = [(each.communicate()[1], each.returncode) for each in drivers]
    assert any(status == 0 for _, status in ended), ended
    for message, status in ended:
        assert status == 0 or (status == 1 and "already running since" in message), message
    assert_as(out, outputs / "late" / "out.parquet", tmp_path)


@KINDS
@pytest.mark.parametrize("at", [2, 4, 5, 7, 9, 11, 13])
def test_a_command_that_was_stopped(
    at: int, name: str, outputs: Path, archive: Path, adapting: Path, bucket: str, tmp_path: Path
) -> None:
    """In front of a change of the store: no reader finds a mixture, the next command ends it.

    Every change, and every command: tests/chaos.
    """
    put(outputs / "early", bucket)
    out = f"{bucket}/{name}"
    with pytest.raises(Interruption), at_request(at, interrupted):
        job(archive, out, adapting, limit=LATE)
    assert_no_mixture(out)
    job(archive, out, adapting, limit=LATE)
    assert_as(out, outputs / "late" / name, tmp_path)


def test_predict(archive: Path, checkpoint_path: Path, bucket: str, batch_ser: Runner) -> None:
    """Of an object as of its file; one that is missing fails by itself."""
    put(archive, f"{bucket}/calls")
    name = "day0/call00.wav"
    options = ("--model", checkpoint_path, "--segment", "whole")
    here = batch_ser("predict", archive / name, *options)
    there = batch_ser("predict", f"{bucket}/calls/{name}", f"{bucket}/no.wav", *options)
    assert there.returncode == 3
    one, other, missing = map(json.loads, (*here.stdout.splitlines(), *there.stdout.splitlines()))
    assert other["all_emotions"] == pytest.approx(one["all_emotions"], abs=1e-4)
    assert missing["error"]["reason"] == "not_found"
