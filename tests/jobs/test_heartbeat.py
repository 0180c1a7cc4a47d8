"""One driver per output: whatever a heartbeat states, it is taken over or refused."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from heartbeats import stated
from heartbeats import write_heartbeat as write

from batch_ser.errors import AlreadyRunning, Incomplete
from batch_ser.results import Output
from jobs.figures import Figures
from jobs.heartbeat import Heartbeat, read_driver


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Another process of this machine."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


def output(work: Path) -> Output:
    """The output whose working folder this is."""
    return Output(str(work.parent))


def assert_taken_over(work: Path) -> None:
    with Heartbeat(output(work)) as heartbeat:
        assert json.loads((work / "driver.json").read_text())["pid"] == os.getpid()
        heartbeat.check()
    assert not work.exists()


def test_a_driver_at_work_is_left_alone(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """However old its beat is: on this machine its process counts."""
    for beat in (time.time(), time.time() - 10_000, time.time() + 10_000):
        write(tmp_path / "work", stated(sleeper, beat=beat))
        message = rf"since 2026-11-29T01:02:03\+00:00 .*process {sleeper.pid}\); wait for it, or"
        with pytest.raises(AlreadyRunning, match=message), Heartbeat(output(tmp_path / "work")):
            pass


def test_a_driver_that_is_gone_is_taken_over(tmp_path: Path) -> None:
    """Also while nothing has waited for its end."""
    process = subprocess.Popen(["sleep", "600"])
    gone = stated(process)
    write(tmp_path / "work", gone)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert_taken_over(tmp_path / "work")
    process.wait()
    write(tmp_path / "work", gone)
    assert_taken_over(tmp_path / "work")


def test_another_process_with_its_number_is_not_taken_for_it(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    write(tmp_path / "work", stated(sleeper, started="1"))
    assert_taken_over(tmp_path / "work")


@pytest.mark.parametrize(
    ("age_s", "at_work"), [(0, True), (50, True), (70, False), (-50, True), (-3600, False)]
)
@pytest.mark.parametrize("where", [{"host": "elsewhere"}, {"machine": "another boot"}])
def test_of_another_machine_the_beat_counts(
    age_s: float,
    at_work: bool,
    where: dict[str, str],
    sleeper: subprocess.Popen[bytes],
    tmp_path: Path,
) -> None:
    """One from more than a minute ahead is of no clock that can be compared: it is old."""
    write(tmp_path / "work", stated(sleeper, beat=time.time() - age_s, **where))
    if not at_work:
        assert_taken_over(tmp_path / "work")
        return
    with pytest.raises(AlreadyRunning), Heartbeat(output(tmp_path / "work")):
        pass


FORGED: list[Any] = [
    "",
    "{",
    "[]",
    "3",
    '{"beat": NaN}',
    "[" * 100_000,
    {},
    {"pid": "12"},
    {"pid": 10**30},
    {"pid": 0},
    {"pid": -1},
    {"pid": True},
    {"pid": 1.5},
    {"pid": None},
    {"beat": "now"},
    {"beat": float("nan")},
    {"beat": float("inf")},
    {"beat": 10**400},
    {"beat": None},
    {"beat": [1]},
    {"host": 3},
    {"token": None},
    {"since": {}},
    {"machine": 1},
    {"started": 1},
]
FORGED_PROGRESS: list[Any] = [
    3,
    [],
    "scoring",
    {},
    {"phase": None},
    {"phase": "x" * 1_000},
    {"phase": "scoring", "files_done": -1},
    {"phase": "scoring", "files_done": 1.5},
    {"phase": "scoring", "files_done": True},
    {"phase": "scoring", "files_listed": 10**400},
    {"phase": "scoring", "audio_s": float("nan")},
    {"phase": "scoring", "audio_s": None},
    {"phase": "scoring", "left_s": "soon"},
    {"phase": "scoring", "left_s": float("inf")},
    {"phase": "scoring", "all_listed": 1},
    {"phase": "scoring", "speed_x_real_time": []},
]


@pytest.mark.parametrize("changes", FORGED, ids=lambda each: str(each)[:30])
def test_what_no_driver_wrote_is_taken_over(
    changes: Any, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    content = changes if isinstance(changes, str) else stated(sleeper, **changes)
    write(tmp_path / "work", content if changes else "{}")
    assert_taken_over(tmp_path / "work")


@pytest.mark.parametrize("progress", FORGED_PROGRESS, ids=lambda each: str(each)[:40])
def test_progress_that_reads_as_none_changes_nothing_else(
    progress: Any, sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """The driver is at work all the same."""
    write(tmp_path / "work", stated(sleeper, progress=progress))
    found = read_driver(output(tmp_path / "work").folder, "work/driver.json")
    assert found
    assert found.progress is None
    with pytest.raises(AlreadyRunning), Heartbeat(output(tmp_path / "work")):
        pass


def test_a_beat_states_the_progress(tmp_path: Path) -> None:
    figures = Figures("scoring", 12, True, 3, 1, 60.5, 20.0, None)
    with Heartbeat(output(tmp_path / "work"), lambda: figures):
        found = read_driver(output(tmp_path / "work").folder, "work/driver.json")
    assert found
    assert found.progress == figures


def test_a_driver_notices_that_it_was_taken_over(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    with Heartbeat(output(tmp_path / "work")) as heartbeat:
        write(tmp_path / "work", stated(sleeper))
        with pytest.raises(Incomplete, match="another driver has taken over"):
            heartbeat.check()
    assert (tmp_path / "work" / "driver.json").exists()  # that of the other


def test_a_driver_notices_that_its_output_is_gone(tmp_path: Path) -> None:
    with Heartbeat(output(tmp_path / "work")) as heartbeat:
        (tmp_path / "work" / "driver.json").unlink()
        with pytest.raises(Incomplete, match="was deleted or damaged while the job ran"):
            heartbeat.check()


def test_of_drivers_that_start_together_one_begins(tmp_path: Path) -> None:
    """Without a lock, each would read that there is none before any has written."""
    code = (
        "import sys, time\n"
        "from batch_ser.errors import AlreadyRunning\n"
        "from batch_ser.results import Output\n"
        "from jobs import heartbeat\n"
        "read = heartbeat.read_driver\n"
        "heartbeat.read_driver = lambda *args: [read(*args), time.sleep(0.5)][0]\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    with heartbeat.Heartbeat(Output(sys.argv[1])):\n"
        "        print('began', flush=True)\n"
        "        sys.stdin.readline()\n"
        "except AlreadyRunning:\n"
        "    print('refused', flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    drivers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for driver in drivers:
        assert driver.stdin
        driver.stdin.write("\n")
        driver.stdin.flush()
    said = sorted(driver.stdout.readline().strip() for driver in drivers if driver.stdout)
    for driver in drivers:
        driver.communicate("\n", timeout=60)
    assert said == ["began", "refused", "refused", "refused"]
