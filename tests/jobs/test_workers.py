"""Workers that die, hang or do not start: who fails, who does not, and what remains of them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from conftest import PROGRAM
from faults import FAULTS
from processes import addresses, descendants, ended
from ray import cloudpickle

from batch_ser.audio.recording import Reading, Recording
from batch_ser.errors import CheckpointError, Incomplete
from batch_ser.inputs.walk import Walk
from batch_ser.results.tables import TableSchemas
from batch_ser.segments.segmenter import SegmentSettings
from jobs import RunConfig, disposable, on_ray, run, tasks
from jobs.on_ray import execute
from jobs.ray_cluster import cluster
from jobs.sharding import Shard
from jobs.stop import OrderlyStop
from jobs.worker.shard import ShardResult, ShardSettings
from jobs.worker_process import Worker, Workers
from models.checkpoint import read_info

DEATHS = 2  # of workers, for reasons outside
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def workers_of(checkpoint: Path, count: int, file_timeout_s: float = 600.0) -> Workers:
    settings = ShardSettings(SegmentSettings("whole"), TableSchemas(read_info(checkpoint).labels))
    return Workers(count, str(checkpoint), "cpu", settings, file_timeout_s)


def results_of(workers: Workers, shards: Iterable[Shard]) -> list[ShardResult]:
    stop = OrderlyStop()
    with cluster(workers, stop):
        return list(execute(iter(shards), workers, stop))


def rows_of(results: Iterable[ShardResult]) -> list[dict[str, Any]]:
    return [row for result in results for row in result.files.to_pylist()]


def first(marker: Path) -> bool:
    """Whether no process asked this before."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def faulty_worker(markers: Path) -> type[Worker]:
    """A worker that dies or hangs at some files; it is sent to its process by value."""
    decoder = FAULTS.replace('"crash"', '"call03"').replace('"hang"', '"call07"')

    class Faulty(Worker):
        def load(self) -> None:
            if any(first(markers / f"load{number}") for number in range(DEATHS)):
                os.kill(os.getpid(), signal.SIGKILL)
            disposable.CHILD = decoder
            super().load()

        def score(self, shard: Shard, stored: Mapping[str, pa.Table]) -> Iterator[ShardResult]:
            for file in shard:
                if "call03" in file.file:
                    os.abort()  # a decoder that crashes
                if "call07" in file.file:
                    time.sleep(600)  # a decoder that never returns
                if "call05" in file.file:
                    os.abort()  # a network that crashes
                killed = any(first(markers / f"call11-{number}") for number in range(DEATHS))
                if "call11" in file.file and killed:
                    os.kill(os.getpid(), signal.SIGKILL)  # which is not the file's fault
            yield from super().score(shard, stored)

    return Faulty


@pytest.mark.parametrize("error", [Exception("the node timed out"), RuntimeError("no port")])
def test_a_ray_that_does_not_start_is_a_sentence(
    error: Exception, checkpoint_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray raises a bare Exception where its node dies or takes too long."""

    def init(**_: object) -> None:
        raise error

    monkeypatch.setattr(on_ray.ray, "init", init)
    with pytest.raises(Incomplete, match=f"Ray does not start: {error}; give the command again"):
        results_of(workers_of(checkpoint_path, 1), [])


@pytest.mark.ray
def test_a_file_fails_by_its_own_faults_alone(
    archive: Path, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "Worker", faulty_worker(tmp_path))
    monkeypatch.setattr(tasks, "MAX_DEATHS", DEATHS + 2)
    files = list(Walk((str(archive),)))
    workers = workers_of(checkpoint_path, 2, file_timeout_s=20.0)
    results = results_of(workers, [files[:9], files[9:]])
    rows = rows_of(results)
    assert sorted(row["file"] for row in rows) == sorted(file.file for file in files)
    failed = {Path(r["file"]).stem: r["reason"] for r in rows if r["status"] == "failed"}
    assert failed == {"call03": "decoder_crash", "call05": "internal_error", "call07": "timeout"}
    assert sum(len(result.segments) for result in results) == 17
    assert len(list(tmp_path.glob("call11-*"))) == len(list(tmp_path.glob("load*"))) == DEATHS


@pytest.mark.ray
def test_the_first_worker_that_is_ready_begins(
    archive: Path, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that loads for ever keeps nobody waiting, and one that cannot load is not needed."""

    class Slow(Worker):
        def load(self) -> None:
            if first(tmp_path / "slow"):
                time.sleep(3600)
            if first(tmp_path / "failing"):
                raise CheckpointError("not on this node")
            super().load()

    monkeypatch.setattr(on_ray, "Worker", Slow)
    files = list(Walk((str(archive),)))
    rows = rows_of(results_of(workers_of(checkpoint_path, 3), [files[:9], files[9:]]))
    assert {row["status"] for row in rows} == {"ok"}
    assert (tmp_path / "failing").exists()


@pytest.mark.ray
def test_a_broken_checkpoint_fails_no_file(
    archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """It ends the job with the error that loading it raises."""
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(checkpoint_path.read_bytes()[:-100])
    intact = workers_of(checkpoint_path, 1)
    broken = Workers(2, str(damaged), "cpu", intact.settings, 60.0)
    with pytest.raises(CheckpointError, match="damaged"):
        results_of(broken, [list(Walk((str(archive),)))])


def test_an_unforeseen_error_fails_its_file(
    archive: Path, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, with a decoder that raises an unforeseen error."""
    real = Recording.__init__

    def raising(self: Recording, path: str, reading: Reading) -> None:
        if "call05" in path:
            raise ZeroDivisionError("a bug")
        real(self, path, reading)

    monkeypatch.setattr(Recording, "__init__", raising)
    out = tmp_path / "out.parquet"
    report = run(RunConfig((str(archive),), str(out), str(checkpoint_path), engine="inline"))
    assert report.exit_code == 3
    assert report.record.counts.reasons == {"internal_error": 1}
    assert json.loads(out.with_name("out.run.json").read_text())["counts"]["files"]["failed"] == 1


@pytest.mark.ray
def test_a_local_ray_keeps_to_itself(
    checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It listens on loopback, looks for no other Ray, and writes nothing to the user's home.

    Twice in one process, where Ray keeps much from the first time.
    """
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:6379")  # an address that nobody has
    before = descendants(os.getpid()).keys()  # such as the server of other tests
    for _ in range(2):
        with cluster(workers_of(checkpoint_path, 1), OrderlyStop()):
            processes = descendants(os.getpid()).keys() - before
            found = addresses([os.getpid(), *processes])
        assert found
        assert found <= LOOPBACK
        assert not list(tmp_path.iterdir())
        assert not ended(processes, within_s=30.0)


@pytest.mark.ray
def test_nothing_lives_longer_than_a_killed_driver(
    archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """10 s are promised; without help, two agents of Ray live for more than a minute."""
    command = ["run", "--input", archive, "--out", "out.parquet", "--model", checkpoint_path]
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # too long a name for Ray's sockets
    job = subprocess.Popen(
        [PROGRAM, *map(str, command), "--workers", "2"], cwd=tmp_path, env=environment
    )
    while not any("ray::Worker" in line for line in descendants(job.pid).values()):
        assert job.poll() is None
        time.sleep(0.01)
    processes = descendants(job.pid)
    job.kill()
    job.wait()
    left = ended(processes, within_s=30.0)
    assert not left, [processes[each] for each in left]
