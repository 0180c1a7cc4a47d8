"""Recordings are decoded in child processes, and only a child's own crash or hang convicts one."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from faults import FAULTS

from batch_ser.audio import Reading
from batch_ser.errors import Reason
from jobs import disposable


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(disposable, "CHILD", FAULTS)
    for name in ("good", "crash", "hang", "killed", "exit", "error", "once", "last"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(8_000), 8_000)
    return tmp_path


def convicted(recordings: Path, *names: str, limit_s: float = 60.0) -> dict[str, Reason]:
    paths = [str(recordings / f"{name}.wav") for name in names]
    found = disposable.examine(paths, Reading(), limit_s)
    return {names[at]: error.reason for at, error in found.items()}


def test_only_a_crash_that_repeats_convicts(recordings: Path) -> None:
    """Not one that does not, SIGKILL, an exit, or an error; and no file that stands beside it."""
    names = ("good", "once", "crash", "killed", "exit", "error", "last")
    assert convicted(recordings, *names) == {"crash": Reason.DECODER_CRASH}


def test_a_decoder_that_hangs_is_convicted_after_its_time(recordings: Path) -> None:
    found = convicted(recordings, "good", "hang", "last", limit_s=5.0)
    assert found == {"hang": Reason.TIMEOUT}


def test_missing_and_broken_files_are_not_convicted(tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    assert convicted(tmp_path, "missing", "broken") == {}
    assert disposable.examine([], Reading(), 60.0) == {}


def test_a_child_that_does_not_start_convicts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disposable, "CHILD", "raise SystemExit(1)")
    with pytest.raises(disposable.NoChild):
        disposable.examine(["a.wav"], Reading(), 60.0)


PARENT = """
import sys
from batch_ser.audio import Reading
from jobs import disposable
disposable.CHILD = sys.argv[1]
disposable.examine([sys.argv[2]], Reading(), 3600.0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a child ends with its parent on Linux")
def test_a_child_ends_with_its_parent(recordings: Path) -> None:
    """Also where the decoder hangs."""
    started = FAULTS.replace(
        "time.sleep(3600)", "Path(path + '.pid').write_text(str(os.getpid())); time.sleep(3600)"
    )
    path = recordings / "hang.wav"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, started, str(path)])
    written = Path(f"{path}.pid")
    while not (written.exists() and written.read_text()):
        assert parent.poll() is None
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    child = Path("/proc", written.read_text())
    while child.exists():  # the time limit of tests bounds this
        if (child / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.01)
