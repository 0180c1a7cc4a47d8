"""A folder for the files of a local Ray, and a process that ends what is left when its driver ends.

Measured with Ray 2.60 after SIGKILL of the driver: servers end at once, workers within 3 s, two
agents after more than a minute. The watchdog ends all processes that write to the folder, and
removes it. It runs this file as a script, so only the standard library is imported here.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

PREFIX = "batch-ser-"
# the name of a socket has at most 107 bytes, and Ray puts up to 68 behind this folder's
LONGEST_ROOT = 20
ROOTS = ("/tmp", "/var/tmp", "/dev/shm")
EVERY_S = 0.1
LAST_S = 10.0


@contextlib.contextmanager
def scratch_folder() -> Iterator[str]:
    """A new folder; at the end, or the death of this process, its processes end and it goes.

    Raises:
        Incomplete: no folder with a name short enough can be written.
    """
    folder = tempfile.mkdtemp(prefix=PREFIX, dir=_root())
    watchdog = subprocess.Popen(
        [sys.executable, "-I", __file__, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,  # signals of the terminal are for the driver
    )
    try:
        yield folder
    finally:
        cast("IO[bytes]", watchdog.stdin).close()
        watchdog.wait()


def _root() -> str:
    """The folder for temporary files, or another one if its name is too long for Ray's sockets."""
    for root in (tempfile.gettempdir(), *ROOTS):
        if len(os.fsencode(root)) <= LONGEST_ROOT and os.access(root, os.W_OK | os.X_OK):
            return root
    from batch_ser.errors import Incomplete  # not in the script

    raise Incomplete(
        f"no folder for temporary files: found {tempfile.gettempdir()}, expected one that can be "
        f"written and whose name has at most {LONGEST_ROOT} bytes; set TMPDIR"
    )


def processes_of(folder: str) -> set[int]:
    """The processes that write to a file below a folder: who only reads one, as `tail`, may be a
    user.
    """
    return {int(each.name) for each in Path("/proc").glob("[0-9]*") if _writes(each, folder)}


def _writes(process: Path, folder: str) -> bool:
    with contextlib.suppress(OSError):  # it has ended, or is another user's
        for file in (process / "fd").iterdir():
            if os.readlink(file).startswith(f"{folder}/"):
                lines = (process / "fdinfo" / file.name).read_text().splitlines()
                flags = next(line.split()[1] for line in lines if line.startswith("flags:"))
                if int(flags, 8) & os.O_ACCMODE != os.O_RDONLY:
                    return True
    return False


def main(folder: str) -> None:
    """Wait for the end of the driver, which closes standard input; then clear up."""
    driver = os.getppid()  # it may go on after its Ray, and has a log open there
    sys.stdin.buffer.read()
    until, before = time.monotonic() + LAST_S, True
    while time.monotonic() < until:
        found = processes_of(folder) - {driver}
        for process in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        if not found and not before:  # twice: one may have been starting
            break
        before = bool(found)
        time.sleep(EVERY_S)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
