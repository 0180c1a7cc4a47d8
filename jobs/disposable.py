"""Whether recordings end the process that decodes them: tried in child processes of a worker.

The death of a worker is no evidence against a file: workers are also killed for memory, by an
administrator, and with their machine. So the files that a dead worker left are decoded once more,
without a network, in a process that does nothing else. A file is convicted if such a child, which
began with this file, crashes or exceeds the time limit, twice. A child that SIGKILL or another
signal from outside ends is no evidence.
"""

import contextlib
import ctypes
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import IO, cast

from batch_ser.audio import Reading, Recording
from batch_ser.errors import FileError, Reason

TRIES = 2
START_S = 600.0  # of a child, whose imports may come from a slow network drive
PR_SET_PDEATHSIG = 1
CRASHES = frozenset(
    (
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGABRT,
        signal.SIGFPE,
        signal.SIGILL,
        signal.SIGTRAP,
        signal.SIGSYS,
    )
)
CHILD = "from jobs.disposable import main; main()"


class NoChild(RuntimeError):
    """A child process ended before its first file: nothing is known about any."""


def examine(paths: Sequence[str], reading: Reading, limit_s: float) -> dict[int, FileError]:
    """The recordings that are convicted, by their position; children decode them one by one.

    Raises:
        NoChild: a child did not start.
    """
    convicted: dict[int, FileError] = {}
    first = tries = 0
    while first < len(paths):
        done, error = _decode_in_child(paths[first:], reading, limit_s)
        alone = done == 0
        tries = tries + 1 if alone and error else 0
        first += done
        if error and tries == TRIES:
            convicted[first] = error
        if tries == TRIES or not error:
            first, tries = first + 1, 0
    return convicted


def _decode_in_child(
    paths: Sequence[str], reading: Reading, limit_s: float
) -> tuple[int, FileError | None]:
    """How many recordings a child decodes, and the evidence against the next one, if any."""
    # the packages of this process, and not those of the current folder
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-c", CHILD]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as child:
        try:
            with contextlib.suppress(BrokenPipeError), cast("IO[bytes]", child.stdin) as stdin:
                stdin.write(pickle.dumps((list(paths), reading)))
            if not _reported(child, START_S):
                raise NoChild("a child process that decodes recordings did not start")
            for done in range(len(paths)):
                reported = _reported(child, limit_s)
                if reported is None:
                    message = f"not decoded after {limit_s:g} s (--file-timeout), {TRIES} times"
                    return done, FileError(Reason.TIMEOUT, message)
                if not reported:
                    return done, _crash(child.wait())
        finally:
            child.kill()
    return len(paths), None


def _reported(child: "subprocess.Popen[bytes]", limit_s: float) -> bytes | None:
    """The byte that a child writes next: none once it has ended, None if it takes too long."""
    reports = cast("IO[bytes]", child.stdout).fileno()
    return os.read(reports, 1) if wait([reports], limit_s) else None


def _crash(status: int) -> FileError | None:
    """The evidence in the exit status of a child."""
    if -status not in CRASHES:
        return None
    name = signal.Signals(-status).name
    return FileError(Reason.DECODER_CRASH, f"decoding ended its process by {name}, {TRIES} times")


def main() -> None:
    """The child: decode the recordings that standard input names, and report each by a byte."""
    if sys.platform == "linux":  # it ends with its worker
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    reports = os.dup(1)
    os.dup2(2, 1)  # libraries may print
    paths, reading = pickle.load(sys.stdin.buffer)
    os.write(reports, b".")
    for path in paths:
        with contextlib.suppress(Exception):  # a worker makes its row
            for _ in Recording(path, reading).blocks():
                pass
        os.write(reports, b".")
