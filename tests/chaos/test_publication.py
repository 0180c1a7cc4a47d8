"""Jobs killed at every operation on the disk, several at once, full disks: against a calm run."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import ENGINES, LABELS, PROGRAM, MakeOnce
from interruptions import assert_no_mixture, assert_tidy, killed_command
from networks import small_checkpoint
from results import assert_equal, assert_holds, assert_same_tables, score

from jobs import RunConfig, run
from jobs.adapt import adapt_again

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3600)]

WHOLE: dict[str, Any] = {"segment": {"method": "whole"}}
EARLY, LATE = 2, 4  # files of the archive, in two steps
MOST_OPERATIONS = 200
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["interruptions", "jobs.driver", "jobs.adapt", "batch_ser.segments"])


@pytest.fixture(scope="module")
def checkpoint(make_once: MakeOnce) -> Path:
    """A small checkpoint with an offset head."""

    def make(folder: Path) -> None:
        small_checkpoint(folder / "x.safetensors", "whisper, offset", LABELS)

    return make_once("chaos checkpoint", make) / "x.safetensors"


def arguments(archive: Path, out: Path, checkpoint: Path, **rest: Any) -> dict[str, Any]:
    return {
        "inputs": (str(archive),),
        "out": str(out),
        "model": str(checkpoint),
        "engine": "inline",
        **WHOLE,
        **rest,
    }


SCENARIOS = {  # a command that is killed, after another; what ends it
    "first": (None, {"limit": EARLY}),
    "update": ({"limit": EARLY}, {"limit": LATE}),
    "restart": ({"limit": EARLY}, {"limit": LATE, "restart": True}),
    "adapt": ({"limit": EARLY}, "recording"),
}


@pytest.mark.parametrize("name", ["out.parquet", "out"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_driver_killed_at_every_operation(
    scenario: str, name: str, archive: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """Between, no reader finds a mixture; the same command again ends as a calm run."""
    before, after = SCENARIOS[scenario]
    base, calm = tmp_path / "base", tmp_path / "calm" / name
    base.mkdir()
    if before:
        run(RunConfig(**arguments(archive, base / name, checkpoint, **before)))

    def again(out: Path) -> None:
        if isinstance(after, str):
            adapt_again(str(out), after)
        else:
            run(RunConfig(**arguments(archive, out, checkpoint, **after)))

    shutil.copytree(base, calm.parent)
    again(calm)
    for number in range(MOST_OPERATIONS):
        out = tmp_path / str(number) / name
        shutil.copytree(base, out.parent)
        if isinstance(after, str):
            command = number, "adapt", {"out": str(out), "by": after}
        else:
            command = number, "run", arguments(archive, out, checkpoint, **after)
        process = CONTEXT.Process(target=killed_command, args=command)
        process.start()
        process.join()
        assert_no_mixture(out)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        again(out)
        assert_equal(out, calm)
        assert_holds(out)
        assert_tidy(out)
        shutil.rmtree(out.parent)
    assert MOST_OPERATIONS - 1 > number > 20
    print(f"{scenario} {name}: killed in front of each of {number} operations")


def test_readers_while_a_folder_is_replaced(
    archive: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """A reader that follows run.json finds one set whole at any moment, or reads again."""
    out = tmp_path / "out"
    run(RunConfig(**arguments(archive, out, checkpoint, limit=EARLY)))
    code = (
        "import sys\n"
        "from jobs.adapt import adapt_again\n"
        "for by in ('recording', 'archive') * 10:\n"
        "    adapt_again(sys.argv[1], by)\n"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(out)])
    reads = 0
    while writer.poll() is None:
        try:
            assert_no_mixture(out)
            reads += 1
        except FileNotFoundError:
            continue
    assert writer.returncode == 0
    assert reads > 10
    print(f"{reads} reads during 20 replacements")


@pytest.mark.parametrize("name", ["out.parquet", "out"])
def test_three_drivers_at_once(name: str, archive: Path, checkpoint: Path, tmp_path: Path) -> None:
    """One of them does the work, also of an earlier one that was killed while it published."""
    calm = tmp_path / "calm" / name
    run(RunConfig(**arguments(archive, calm, checkpoint)))
    for number in range(0, 60, 12):
        out = tmp_path / str(number) / name
        config = number, "run", arguments(archive, out, checkpoint, limit=EARLY)
        process = CONTEXT.Process(target=killed_command, args=config)
        process.start()
        process.join()
        command = [PROGRAM, "run", "--input", archive, "--out", out, "--model", checkpoint]
        command += ["--engine", "inline", "--segment", "whole"]
        drivers = [
            subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
            for _ in range(3)
        ]
        ended = [(driver.communicate()[1], driver.returncode) for driver in drivers]
        assert any(status == 0 for _, status in ended), ended
        for message, status in ended:
            assert status == 0 or (status == 1 and "already running since" in message), message
        assert_equal(out, calm)
        assert_holds(out)
        assert_tidy(out)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system: the disk cannot be filled")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk(archive: Path, checkpoint: Path, tmp_path: Path, small_disk: Path) -> None:
    """However much is free: a sentence and status 1, and with more room the command goes on."""
    calm = tmp_path / "calm.parquet"
    score(archive, calm, checkpoint, **WHOLE)
    filling, full = small_disk / "filling", 0
    command = [PROGRAM, "run", "--input", archive, "--out", small_disk / "out.parquet"]
    command += ["--model", checkpoint, "--engine", "inline", "--segment", "whole"]
    for free in (0, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256):  # kB
        filling.write_bytes(b"")
        taken = shutil.disk_usage(small_disk).free - free * 1024
        filling.write_bytes(bytes(max(taken, 0)))
        done = subprocess.run(
            [*map(str, command)], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert_no_mixture(small_disk / "out.parquet")
        if done.returncode == 0:
            break
        assert done.returncode == 1, done.stderr
        assert "no space is left; make room" in done.stderr.splitlines()[-1], done.stderr
        assert "Traceback" not in done.stderr
        full += 1
    assert full > 3
    assert_same_tables(small_disk / "out.parquet", calm)
    print(f"the disk was full {full} times")


def test_a_read_only_output(archive: Path, checkpoint: Path, small_disk: Path) -> None:
    command = [PROGRAM, "run", "--input", archive, "--out", small_disk / "out.parquet"]
    command += ["--model", checkpoint, "--engine", "inline", "--segment", "whole"]
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert "the file system is read-only; make it writable" in done.stderr
    assert "Traceback" not in done.stderr
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert subprocess.run([*map(str, command)], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_sigterm_at_any_moment(
    engine: str, archive: Path, checkpoint: Path, tmp_path: Path
) -> None:
    """Of a run that takes a few seconds: 143, or the signal itself before Python is ours."""
    command = [PROGRAM, "run", "--input", archive, "--out", "out.parquet", "--model", checkpoint]
    command += ["--engine", engine, "--segment", "whole", "--workers", 1]
    started = time.monotonic()
    (tmp_path / "calm").mkdir()
    subprocess.run([*map(str, command)], cwd=tmp_path / "calm", capture_output=True, check=True)
    whole_s = time.monotonic() - started
    moments = 20 if engine == "inline" else 12
    ends: list[int] = []
    for number in range(moments):
        folder = tmp_path / str(number)
        folder.mkdir()
        job = subprocess.Popen([*map(str, command)], cwd=folder, stderr=subprocess.PIPE, text=True)
        time.sleep(whole_s * (number + 0.5) / moments)
        job.terminate()
        _, message = job.communicate(timeout=120)
        ends.append(job.returncode)
        assert job.returncode in (143, -signal.SIGTERM, 0), message
        assert "Traceback" not in message
        if job.returncode == 143:
            assert message.splitlines()[-1].endswith("the same command goes on from here")
    assert 143 in ends
    print(f"{engine}: {ends}")
    subprocess.run([*map(str, command)], cwd=folder, capture_output=True, check=True)
    assert_same_tables(folder / "out.parquet", tmp_path / "calm" / "out.parquet")
    assert os.listdir(folder)
