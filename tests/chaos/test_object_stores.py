"""Jobs in object stores: drivers killed at every change of the store, several at once, big ones."""

import multiprocessing
import os
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import LABELS, PROGRAM, MakeOnce
from interruptions import assert_no_mixture, assert_tidy, killed_command
from networks import small_checkpoint
from object_stores import environment, fetched, make_bucket, put
from results import assert_equal, assert_holds

from jobs import RunConfig, run
from jobs.adapt import adapt_again

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

WHOLE: dict[str, Any] = {"engine": "inline", "segment": {"method": "whole"}}
EARLY, LATE = 2, 4  # files of the archive, in two steps
MOST_REQUESTS = 100
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["interruptions", "jobs.driver", "jobs.adapt", "batch_ser.segments"])
SCENARIOS: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | str]] = {
    "first": (None, {"limit": EARLY}),  # a command before the one that is killed, and that one
    "update": ({"limit": EARLY}, {"limit": LATE}),
    "restart": ({"limit": EARLY}, {"limit": LATE, "restart": True}),
    "adapt": ({"limit": EARLY}, "recording"),
}


@pytest.fixture(scope="module")
def checkpoint(make_once: MakeOnce) -> Path:
    """A small checkpoint with an offset head."""

    def make(folder: Path) -> None:
        small_checkpoint(folder / "x.safetensors", "whisper, offset", LABELS)

    return make_once("chaos checkpoint", make) / "x.safetensors"


def arguments(archive: Path, out: object, checkpoint: Path, **rest: Any) -> dict[str, Any]:
    given = {"inputs": (str(archive),), "out": str(out), "model": str(checkpoint)}
    return given | WHOLE | rest


def new_bucket(s3: str) -> str:
    return make_bucket(s3, f"chaos-{uuid.uuid4().hex[:12]}")


def killed_at(number: int, command: str, options: dict[str, Any], s3: str) -> bool:
    """Run a command in a process that is killed at a request; whether it was."""
    given = number, command, options, environment(s3)
    process = CONTEXT.Process(target=killed_command, args=given)
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.parametrize("name", ["out.parquet", "out"])
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.usefixtures("bucket")
def test_a_driver_killed_at_every_request(
    scenario: str, name: str, archive: Path, checkpoint: Path, s3: str, tmp_path: Path
) -> None:
    """Between, no reader finds a mixture; the same command again ends as a calm run."""
    before, after = SCENARIOS[scenario]
    base, calm = tmp_path / "base", tmp_path / "calm" / name
    base.mkdir()
    for out in (base / name, calm) if before else ():
        run(RunConfig(**arguments(archive, out, checkpoint, **before)))

    def again(out: object) -> None:
        if isinstance(after, str):
            adapt_again(str(out), after)
        else:
            run(RunConfig(**arguments(archive, out, checkpoint, **after)))

    again(calm)
    for number in range(MOST_REQUESTS):
        out = f"{new_bucket(s3)}/{name}"
        put(base, out.rpartition("/")[0])
        options = {"out": out, "by": after} if isinstance(after, str) else None
        options = options or arguments(archive, out, checkpoint, **after)
        was_killed = killed_at(number, "adapt" if isinstance(after, str) else "run", options, s3)
        assert_no_mixture(out)
        if was_killed:
            again(out)
        assert_no_mixture(out)
        assert_tidy(out)
        copy = fetched(out, tmp_path / str(number))
        assert_equal(copy, calm)
        assert_holds(copy)
        if not was_killed:
            break
    assert MOST_REQUESTS - 1 > number > 10
    print(f"{scenario} {name}: killed in front of each of {number} changes of the store")


OBJECTS = 2_000


def test_two_thousand_objects(
    archive: Path, checkpoint: Path, s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Input and output in a store, on Ray: the tables of a job on a disk, and every command."""
    for name, value in environment(s3).items():
        monkeypatch.setenv(name, value)
    calls = tmp_path / "calls"
    found = sorted(archive.glob("*/call*"))
    for number in range(OBJECTS):
        path = found[number % len(found)]
        (calls / f"day{number % 7}").mkdir(parents=True, exist_ok=True)
        os.link(path, calls / f"day{number % 7}" / f"{number:04}{path.suffix}")
    calm = tmp_path / "calm" / "out.parquet"
    run(RunConfig(**arguments(calls, calm, checkpoint, engine="ray", workers=2)))
    store = new_bucket(s3)
    put(calls, f"{store}/calls")
    out = f"{store}/results/out.parquet"
    given = arguments(Path(), out, checkpoint, engine="ray", workers=2)
    report = run(RunConfig(**given | {"inputs": (f"{store}/calls",)}))
    assert report.record.counts.files_in == OBJECTS
    copy = fetched(out, tmp_path / "copy")
    assert_holds(copy)
    files = copy.with_suffix(".files.parquet")
    rows = pd.read_parquet(files)  # a copy has a time of its own
    rows["modified"] = pd.read_parquet(calm.with_suffix(".files.parquet"))["modified"]
    rows.to_parquet(files)
    assert_equal(copy, calm)
    for command in (["verify", out], ["status", out], ["retry", out], ["adapt", out]):
        done = subprocess.run([PROGRAM, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
