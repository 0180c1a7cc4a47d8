"""Workers that die or hang: a file fails only if it ends its worker twice, alone."""

import json
import os
import time
from pathlib import Path

import pytest

from batch_ser.audio.recording import Reading, Recording
from batch_ser.errors import Incomplete
from batch_ser.inputs.walk import Walk
from batch_ser.results.tables import TableSchemas
from batch_ser.segments.segmenter import SegmentSettings
from jobs import on_ray
from jobs.on_ray import Workers, cluster, execute
from jobs.sharding import Shard
from jobs.stop import OrderlyStop
from jobs.worker.shard import ShardResult, ShardSettings
from models.checkpoint import read_info


def workers_of(checkpoint: Path, count: int, file_timeout_s: float = 60.0) -> Workers:
    settings = ShardSettings(SegmentSettings("whole"), TableSchemas(read_info(checkpoint).labels))
    return Workers(count, str(checkpoint), "cpu", settings, file_timeout_s)


def faulty_worker(marker: Path) -> type[on_ray.Worker]:
    """A worker that dies or hangs at some files; it is sent to its process by value."""

    class Faulty(on_ray.Worker):
        def work(self, shard: Shard) -> ShardResult:
            for file in shard:
                if "call03" in file.file:
                    os.abort()  # a decoder that crashes
                if "call07" in file.file:
                    time.sleep(600)  # a decoder that never returns
                if "call11" in file.file and not marker.exists():
                    marker.write_text("once")
                    os.abort()  # a death that is not the file's fault
            return super().work(shard)

    return Faulty


@pytest.mark.ray
def test_a_crashing_file_fails_alone(
    archive: Path, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray, "Worker", faulty_worker(tmp_path / "marker"))
    files = list(Walk((str(archive),)))
    shards = [files[:9], files[9:]]
    stop = OrderlyStop()
    with cluster(workers := workers_of(checkpoint_path, 2, file_timeout_s=20.0), stop):
        results = list(execute(iter(shards), workers, stop))
    rows = [row for result in results for row in result.files.to_pylist()]
    assert sorted(row["file"] for row in rows) == sorted(file.file for file in files)
    failed = {Path(r["file"]).stem: r["reason"] for r in rows if r["status"] == "failed"}
    assert failed == {"call03": "decoder_crash", "call07": "timeout"}
    assert sum(len(result.segments) for result in results) == 18
    assert (tmp_path / "marker").exists()


@pytest.mark.ray
def test_a_broken_checkpoint_fails_no_file(
    archive: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.safetensors"
    damaged.write_bytes(checkpoint_path.read_bytes()[:-100])
    intact = workers_of(checkpoint_path, 1)
    broken = Workers(1, str(damaged), "cpu", intact.settings, 60.0)
    stop = OrderlyStop()
    with cluster(broken, stop), pytest.raises(Incomplete, match="cannot start"):
        list(execute(iter([list(Walk((str(archive),)))]), broken, stop))


def test_an_unforeseen_error_fails_its_file(
    archive: Path, checkpoint_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, with a decoder that raises an unforeseen error."""
    from jobs import RunConfig, run

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
