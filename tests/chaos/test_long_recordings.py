"""A recording of two hours whose driver and workers are killed: minutes of it are scored again."""

import multiprocessing
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from processes import descendants, ended
from ray import cloudpickle
from results import assert_holds, assert_same_tables, score, tables

from batch_ser.audio.recording import load
from batch_ser.audio.samples import Samples
from batch_ser.features import Features
from jobs import RunConfig, commit, on_ray, run
from jobs.worker_process import Worker

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3_600)]
cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
RATE_HZ = 8_000
LENGTH_S = 2 * 3_600
MODEL = "accurate"
KILLS = ["worker", "driver"] * 3
MOST_S = 300.0  # of audio that is scored between a commit and a kill


@pytest.fixture
def two_hours(calls: Path, tmp_path: Path) -> Path:
    """The example calls, again and again in another order, at a telephone's rate."""
    rng, folder = np.random.default_rng(17), tmp_path / "in"
    folder.mkdir()
    paths = [path for path in sorted(calls.iterdir()) if path.suffix != ".md"]
    speech = [load(str(path), RATE_HZ) for path in paths]
    with soundfile.SoundFile(folder / "hearing.wav", "w", RATE_HZ, 1) as file:
        while file.tell() < LENGTH_S * RATE_HZ:
            for number in rng.permutation(len(speech)):
                file.write(speech[number][: LENGTH_S * RATE_HZ - file.tell()])
    return folder


def counting_worker(folder: Path) -> type[Worker]:
    """A worker that writes down of how many seconds of audio it computes features."""

    class Counting(Worker):
        def load(self) -> None:
            super().load()
            features, rate_hz = self._checkpoint.features, self._checkpoint.info.rate_hz

            def counted(segments: Sequence[Samples]) -> Features:
                with (folder / f"{os.getpid()}.scored").open("a") as file:
                    file.write(f"{sum(map(len, segments)) / rate_hz}\n")
                return features(segments)

            self._checkpoint.features = counted  # type: ignore[method-assign]

    return Counting


def counted_job(inputs: Path, out: Path, folder: Path) -> None:
    """A job on Ray whose worker counts; for a process of its own."""
    on_ray.Worker = counting_worker(folder)  # type: ignore[misc]
    commit.COMMIT_EVERY_S = 0.0  # or a fast machine would be done before the next commit
    run(RunConfig((str(inputs),), str(out), MODEL, workers=1))


def scored_s(folder: Path) -> float:
    return sum(float(s) for each in folder.glob("*.scored") for s in each.read_text().split())


def commits(out: Path) -> int:
    return len(list(out.with_suffix(".work").glob("parts*/*.files.parquet")))


def workers_below(driver: int) -> list[int]:
    found = descendants(driver)
    return [process for process, line in found.items() if line.startswith("ray::Counting")]


def test_minutes_of_a_long_recording_are_scored_again(two_hours: Path, tmp_path: Path) -> None:
    """Its worker and its driver are killed in turn, three times each, soon after a commit."""
    rng, out = random.Random(17), tmp_path / "out.parquet"
    spawn, kills, again = multiprocessing.get_context("spawn"), list(KILLS), []
    while True:
        job = spawn.Process(target=counted_job, args=(two_hours, out, tmp_path))
        job.start()
        assert job.pid
        processes: dict[int, str] = {}
        while job.is_alive() and kills:
            before, begun_s = commits(out), scored_s(tmp_path)
            while job.is_alive() and commits(out) == before:
                time.sleep(0.02)
            until_s = scored_s(tmp_path) + rng.uniform(0.0, MOST_S)
            while job.is_alive() and scored_s(tmp_path) < until_s:
                time.sleep(0.02)
            if not job.is_alive():
                break
            processes |= descendants(job.pid)
            if kills[0] == "worker" and (found := workers_below(job.pid)):
                os.kill(found[0], signal.SIGKILL)
            elif kills[0] == "driver":
                job.kill()
                job.join()
            else:
                continue
            again.append(f"{kills.pop(0)} after {scored_s(tmp_path) - begun_s:.0f} s of audio")
        if job.exitcode is None:
            job.join()
        assert job.exitcode in (0, -signal.SIGKILL)
        assert not ended(processes, within_s=60.0)
        if job.exitcode == 0:
            break
    assert not kills
    score(two_hours, tmp_path / "calm.parquet", Path(MODEL))
    assert_same_tables(out, tmp_path / "calm.parquet")
    assert_holds(out)
    once_s, all_s = tables(out)[1]["scored_s"].sum(), scored_s(tmp_path)
    print(f"\nkilled: {', '.join(again)}")
    print(f"{once_s:.0f} s of speech, {all_s - once_s:.0f} s of it were scored again")
    assert once_s > LENGTH_S / 3
    assert 0 < all_s - once_s < 3_600
