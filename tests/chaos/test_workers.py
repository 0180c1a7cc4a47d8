"""Processes of jobs on Ray that are killed, at random and again and again."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import PROGRAM, MakeOnce
from processes import descendants, ended
from results import assert_holds, assert_same_tables

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3_600)]
WORKERS = 2
KILLS = 20
COPIES = 20  # of the archive: minutes of work, in which a few dozen workers are killed


@pytest.fixture(scope="module")
def archive_of_minutes(make_once: MakeOnce, long_archive: Path) -> Path:
    def make(root: Path) -> None:
        for number in range(COPIES):
            (root / f"{number:02}").mkdir()
            for path in sorted(long_archive.iterdir()):
                os.link(path, root / f"{number:02}" / path.name)

    return make_once("archive of minutes", make)


@pytest.fixture(scope="module")
def calm_of_minutes(make_once: MakeOnce, archive_of_minutes: Path, checkpoint_path: Path) -> Path:
    def make(folder: Path) -> None:
        out = folder / "results.parquet"
        run_to_end(archive_of_minutes, checkpoint_path, out)

    return make_once("calm of minutes", make) / "results.parquet"


def command(long_archive: Path, checkpoint: Path, out: Path) -> list[str]:
    words = ("run", "--input", long_archive, "--out", out, "--model", checkpoint)
    return [str(PROGRAM), *map(str, words), "--workers", str(WORKERS)]


def workers_below(driver: int) -> list[int]:
    found = descendants(driver)
    return [process for process, line in found.items() if line.startswith("ray::Worker")]


@pytest.mark.parametrize("moment", ["any", "loading"])
def test_workers_that_are_killed_again_and_again(
    archive_of_minutes: Path,
    calm_of_minutes: Path,
    checkpoint_path: Path,
    tmp_path: Path,
    moment: str,
) -> None:
    """At any moment, every few seconds; or as soon as one is seen, which then loads, 20 times.

    The job ends, nobody is blamed, and the tables are those of a calm run.
    """
    rng, killed = random.Random(17), 0
    out, loading = tmp_path / "out.parquet", moment == "loading"
    words = command(archive_of_minutes, checkpoint_path, out)
    job = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    while job.poll() is None:
        time.sleep(0.5 if loading else rng.uniform(1.0, 5.0))
        found = workers_below(job.pid)
        if found and not (loading and killed == KILLS):
            os.kill(rng.choice(found), signal.SIGKILL)
            killed += 1
    print(f"\n{killed} workers killed, at {moment} moments")
    assert job.returncode == 0
    assert killed >= KILLS
    assert_same_tables(out, calm_of_minutes)
    assert_holds(out)


def test_a_driver_that_is_killed_at_random_moments(
    long_archive: Path, long_calm: Path, checkpoint_path: Path, tmp_path: Path
) -> None:
    """The same command goes on each time; of a killed one no process is left after 10 s."""
    rng, lives = random.Random(17), []
    started = time.monotonic()
    run_to_end(long_archive, checkpoint_path, tmp_path / "timed.parquet")
    calm_s = time.monotonic() - started
    out, completed = tmp_path / "out.parquet", 0
    for _ in range(KILLS):
        words = command(long_archive, checkpoint_path, out)
        job = subprocess.Popen(words, stdout=subprocess.DEVNULL)
        until = time.monotonic() + rng.uniform(0.0, 1.5 * calm_s)
        processes: dict[int, str] = {}
        while time.monotonic() < until and job.poll() is None:
            processes |= descendants(job.pid)
            time.sleep(0.05)
        processes |= descendants(job.pid)
        job.kill()
        job.wait()
        killed = time.monotonic()
        left = ended(processes, within_s=60.0)
        lives.append(time.monotonic() - killed)
        assert not left, [processes[each] for each in left]
        if out.with_suffix(".run.json").exists():
            completed += 1
            assert_same_tables(out, long_calm)
            for path in tmp_path.glob("out.*"):
                path.unlink()
    run_to_end(long_archive, checkpoint_path, out)
    assert_same_tables(out, long_calm)
    assert_holds(out)
    print(f"\n{KILLS} kills of jobs of {calm_s:.0f} s, {completed} of them complete")
    print(f"all processes of each ended within {max(lives):.1f} s")
    assert max(lives) < 10.0


def run_to_end(long_archive: Path, checkpoint: Path, out: Path) -> None:
    subprocess.run(command(long_archive, checkpoint, out), check=True, stdout=subprocess.DEVNULL)
