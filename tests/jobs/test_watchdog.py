"""The folder of a local Ray: it goes with its driver, and so do the processes that write to it."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import alive, ended

from batch_ser.errors import Incomplete
from jobs import watchdog
from jobs.watchdog import scratch_folder

WRITES = """
import sys, time
log = open(sys.argv[1], "a")
print("open", flush=True)
time.sleep(600)
"""
READS = WRITES.replace('"a"', '"r"')
DRIVER = """
import sys, time
from jobs.watchdog import scratch_folder
with scratch_folder() as folder:
    print(folder, flush=True)
    time.sleep(600)
"""


Start = Callable[..., tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process; returns it and the first line that it writes."""
    with contextlib.ExitStack() as stack:

        def start(code: str, *arguments: str) -> tuple["subprocess.Popen[str]", str]:
            command = [sys.executable, "-c", code, *arguments]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.enter_context(process)  # waits
            stack.callback(process.kill)
            assert process.stdout
            return process, process.stdout.readline().strip()

        yield start


def test_what_writes_to_the_folder_ends_with_it(start: Start) -> None:
    """Who only reads does not; nor does the driver, which writes to a log there."""
    with scratch_folder() as folder:
        log = Path(folder, "log.txt")
        with log.open("a"):
            writer, reader = start(WRITES, str(log))[0], start(READS, str(log))[0]
            assert alive([writer.pid, reader.pid]) == {writer.pid, reader.pid}
    writer.wait()
    assert reader.poll() is None
    assert not Path(folder).exists()


def test_the_folder_goes_after_a_kill_of_its_driver(start: Start) -> None:
    driver, folder = start(DRIVER)
    writer, _ = start(WRITES, f"{folder}/log.txt")
    driver.kill()
    assert not ended([driver.pid, writer.pid], within_s=60.0)
    while Path(folder).exists():  # the time limit of tests bounds this
        time.sleep(0.01)


def test_a_long_name_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog.tempfile, "gettempdir", lambda: str(tmp_path))
    with scratch_folder() as folder:
        assert len(folder) < 50
    monkeypatch.setattr(watchdog, "ROOTS", (str(tmp_path),))
    with pytest.raises(Incomplete, match="set TMPDIR"), scratch_folder():
        pass
