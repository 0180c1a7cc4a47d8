"""One driver per output: a file in the working folder that its driver updates.

It only saves work: two drivers would both be right, since files are committed one by one.
"""

import contextlib
import os
import socket
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from batch_ser.errors import AlreadyRunning, Incomplete
from batch_ser.results import DRIVER, read_json, write_json

BEAT_S = 10.0
OLD_S = 60.0


class Heartbeat:
    """Marks an output as in use while the `with` block runs."""

    def __init__(self, work: Path) -> None:
        self.path = work / DRIVER
        self._stop = threading.Event()
        self._driver = {
            "token": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }

    def __enter__(self) -> "Heartbeat":
        other = self._read()
        if other and _alive(other):
            raise AlreadyRunning(
                f"already running since {other.get('since')} on host {other.get('host')} "
                f"(process {other.get('pid')}); wait for it, or stop it first"
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._beat()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._is_mine():
            self.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()  # only if nothing else is in it

    def check(self) -> None:
        """Check that no other driver has taken over, before tables are replaced.

        Raises:
            Incomplete: one has.
        """
        if not self._is_mine():
            raise Incomplete("another driver has taken over this output; it will finish the job")

    def _is_mine(self) -> bool:
        current = self._read()
        return current is not None and current.get("token") == self._driver["token"]

    def _read(self) -> dict[str, Any] | None:
        try:
            return read_json(self.path)
        except ValueError:
            return None

    def _beat(self) -> None:
        write_json(self.path, self._driver | {"beat": time.time()})

    def _keep(self) -> None:
        while not self._stop.wait(BEAT_S):
            with contextlib.suppress(OSError):  # the folder goes when tables are published
                if self._is_mine():
                    self._beat()


def _alive(other: dict[str, Any]) -> bool:
    """Whether another driver still runs: a recent beat, and on this host a process."""
    if time.time() - float(other.get("beat", 0)) > OLD_S:
        return False
    if other.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(other["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return int(other["pid"]) != os.getpid()
