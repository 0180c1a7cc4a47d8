"""One driver per output: a file in the working folder that its driver updates.

It only saves work: two drivers would both be right, since files are committed one by one.
"""

import contextlib
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

from batch_ser.errors import AlreadyRunning, Incomplete
from batch_ser.results import Output, as_json, read_json
from batch_ser.storage import Changed, Folder
from jobs.figures import Figures
from jobs.processes import machine, started

BEAT_S = 10.0
OLD_S = 60.0
ATTEMPTS = 100  # to find the working folder, which a driver that ends removes
MAX_PID = 2**31 - 1
MAX_BEAT_S = 1e12
TYPES: dict[Any, tuple[type, ...]] = {str: (str,), int: (int,), float: (int, float)}  # of fields


@dataclass(frozen=True)
class Driver:
    """What a heartbeat states; its fields are the keys of the file."""

    token: str
    host: str
    machine: str  # as this boot of it numbers its processes; empty: not known
    pid: int
    started: str  # of the process, so that another one with its number is not taken for it
    since: str
    beat: float  # seconds since 1970
    progress: Figures | None = None  # of a run, as of the beat

    @classmethod
    def this(cls) -> "Driver":
        """The process that calls this."""
        return cls(
            token=uuid.uuid4().hex,
            host=socket.gethostname(),
            machine=machine(),
            pid=os.getpid(),
            started=started(os.getpid()) or "",
            since=datetime.now(UTC).isoformat(timespec="seconds"),
            beat=time.time(),
        )

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Driver | None":
        """The driver that a file states; None if no driver wrote it."""
        complete = {"machine": "", "started": ""} | content
        names = {each.name: TYPES[each.type] for each in fields(cls) if each.type in TYPES}
        if any(type(complete.get(name)) not in types for name, types in names.items()):
            return None
        progress = Figures.from_json(content.get("progress"))
        driver = cls(**{name: complete[name] for name in names}, progress=progress)
        # a comparison with NaN is false
        return driver if 0 < driver.pid <= MAX_PID and abs(driver.beat) <= MAX_BEAT_S else None

    def is_at_work(self, other: "Driver") -> bool:
        """Whether another driver still runs, as far as this one can find out.

        On the same machine its process counts. Elsewhere its beat does: one that is old, or from
        more than a minute ahead, is of no clock that can be compared.
        """
        recent = abs(time.time() - other.beat) <= OLD_S
        if (other.host, other.machine) != (self.host, self.machine):
            return recent
        begun = None if other.pid == self.pid else started(other.pid)
        if begun is None:
            return False
        return begun == other.started if begun and other.started else recent


class Heartbeat:
    """Marks an output as in use while the `with` block runs; each beat states the progress."""

    def __init__(self, output: Output, progress: Callable[[], Figures] | None = None) -> None:
        self._folder, self._name, self._work = output.folder, output.driver_json, output.work
        self._version = ""
        self._stop = threading.Event()
        self._driver = Driver.this()
        self._progress = progress

    def __enter__(self) -> "Heartbeat":
        self._begin()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()
        return self

    def _begin(self) -> None:
        """Make the file, or take it over; where storage knows conditions, one driver alone can."""
        for _ in range(ATTEMPTS):
            found = self._folder.find(self._name)
            self._check_free()
            with contextlib.suppress(Changed):
                self._version = self._beat(found.version if found else None)
                return
        raise Incomplete(
            f"{self._folder.place(self._work)} is changed again whenever it is made; by which "
            "program?"
        )

    def _check_free(self) -> None:
        other = read_driver(self._folder, self._name)
        if other and self._driver.is_at_work(other):
            raise AlreadyRunning(
                f"already running since {other.since} on host {other.host} "
                f"(process {other.pid}); wait for it, or stop it first"
            )

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError):  # a disk that can no longer be written
            if self._is_mine():
                self._folder.remove(self._name)
            self._folder.remove_empty(self._work)

    def check(self) -> None:
        """Check that no other driver has taken over, before anything is committed or published.

        Raises:
            Incomplete: one has, or the working folder was deleted.
        """
        current = read_driver(self._folder, self._name)
        if current is None:
            raise Incomplete(
                f"{self._folder.place(self._name)} was deleted or damaged while the job ran; the "
                "same command begins again with what is left"
            )
        if current.token != self._driver.token:
            raise Incomplete("another driver has taken over this output; it will finish the job")

    def _is_mine(self) -> bool:
        current = read_driver(self._folder, self._name)
        return current is not None and current.token == self._driver.token

    def _beat(self, version: str | None) -> str:
        progress = self._progress() if self._progress else None
        content = asdict(replace(self._driver, beat=time.time(), progress=progress))
        return self._folder.replace(self._name, as_json(content), version)

    def _keep(self) -> None:
        while not self._stop.wait(BEAT_S):
            with contextlib.suppress(OSError):  # a full disk, a store that does not answer
                try:
                    self._version = self._beat(self._version)
                except Changed:
                    self._check_version()

    def _check_version(self) -> None:
        """Go on with another version, if it is of this driver: an answer can be lost."""
        found = self._folder.find(self._name)
        if found and self._is_mine():
            self._version = found.version


def read_driver(folder: Folder, name: str) -> Driver | None:
    """The driver that a heartbeat states; None if there is none, or no driver wrote it."""
    try:
        content = read_json(folder, name)
    except (ValueError, IsADirectoryError):
        return None
    return Driver.from_json(content) if content else None
