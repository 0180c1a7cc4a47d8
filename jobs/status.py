"""`batch-ser status`: how far a job is, or what became of it. It only reads."""

import shlex
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from batch_ser.errors import Incomplete, MismatchError
from batch_ser.results import (
    EMPTY,
    FAILED,
    OK,
    PARTIAL,
    Committed,
    Output,
    RunRecord,
    Tally,
    is_replacement,
    read_json,
)
from jobs.figures import Figures, one_line
from jobs.heartbeat import Driver, read_driver

RUNNING, STOPPED = "running", "stopped"  # nothing is complete yet
PUBLISHING, INTERRUPTED = "publishing", "interrupted"  # single files are being replaced
COMPLETE = "complete"
UPDATING, UPDATE_STOPPED = "updating", "update_stopped"  # complete, and more is being done
ACTIVE = (RUNNING, PUBLISHING, UPDATING)
LOOKS = 10  # at an output that changes while it is read
BETWEEN_LOOKS_S = 0.2


class NoOutput(MismatchError):
    """There is no output of ours."""


@dataclass(frozen=True)
class Status:
    """The state of an output, what is done, and the driver that is at work."""

    out: str
    state: str
    committed: Committed  # of the tables if they are complete, and of parts that are not in them
    record: RunRecord | None = None  # of the complete tables, or those that are being published
    driver: Driver | None = None  # only while it is at work
    seen: float = field(default_factory=time.time)  # when, in seconds since 1970

    @property
    def is_active(self) -> bool:
        """Whether a driver is at work."""
        return self.state in ACTIVE

    @property
    def progress(self) -> Figures | None:
        return self.driver.progress if self.driver else None

    @property
    def is_complete(self) -> bool:
        """Whether there are tables that `run.json` calls complete."""
        return self.record is not None and self.state not in (PUBLISHING, INTERRUPTED)

    @property
    def files_done(self) -> int:
        return sum(self.committed.files[status] for status in (OK, EMPTY, FAILED))

    @property
    def next_step(self) -> str:
        """What can be done now."""
        failed = self.committed.files[FAILED]
        again = f"`batch-ser retry {shlex.quote(self.out)}`"
        return {
            RUNNING: "wait for it; --watch does",
            STOPPED: "give its command again: it goes on from here",
            PUBLISHING: "wait for it; tables are being replaced",
            INTERRUPTED: "give its command again, or any other on this output: it ends that",
            UPDATING: "wait for it; the earlier tables stay until then",
            UPDATE_STOPPED: "give its command again: it goes on; the tables are the earlier ones",
            COMPLETE: f"the files table has each failure's message; {again} does them again"
            if failed
            else "nothing is left to do",
        }[self.state]

    def as_json(self) -> dict[str, Any]:
        """The fields that docs/commands.md describes."""
        files, record = self.committed.files, self.record if self.is_complete else None
        return {
            "out": self.out,
            "state": self.state,
            "complete": self.is_complete,
            "files_done": self.files_done,
            "files_ok": files[OK],
            "files_empty": files[EMPTY],
            "files_failed": files[FAILED],
            "files_in_progress": files[PARTIAL],
            "files_not_published": self.committed.in_parts,
            "reasons": dict(sorted(_reasons(self.committed).items())),
            "audio_s": self.committed.audio_s,
            "audio_in_progress_s": self.committed.in_progress_s,
            "last_commit": as_time(self.committed.latest),
            "finished": record and record.finished,
            "last_run": record and _last_run(record),
            "driver": self.driver and _driver(self.driver, self.seen),
            "progress": self.progress and vars(self.progress),
            "alarms": [asdict(each) for each in record.alarms] if record else [],
            "next": self.next_step,
        }


class Watch:
    """Looks at one output, again and again."""

    def __init__(self, out: str) -> None:
        self.output = Output(out)
        self._tally = Tally(self.output)

    def look(self) -> Status:
        """The status now, of one moment.

        Raises:
            NoOutput: there is none of ours.
            MismatchError: its record is damaged.
            Incomplete: it changes whenever it is read, or tables that it lists are missing.
        """
        error: FileNotFoundError | None = None
        for number in range(LOOKS):
            if number:
                time.sleep(BETWEEN_LOOKS_S)
            before = self._versions()
            try:
                found = self._look()
            except FileNotFoundError as changed:
                error = changed
                continue
            if self._versions() == before:
                return found
        raise Incomplete(
            f"{self.output.out}: {error or 'changes whenever it is read'}; look again, or "
            "put back what was removed"
        )

    def _versions(self) -> list[str | None]:
        """What changes whenever tables or parts do."""
        output = self.output
        found = [output.folder.find(name) for name in (output.run_json, output.settings_json)]
        return [each and each.version for each in found]

    def _look(self) -> Status:
        output = self.output
        content = read_json(output.folder, output.run_json)
        driver = self._driver()
        if content is not None and is_replacement(content):
            record = _new_record(content)
            state = PUBLISHING if driver else INTERRUPTED
            return Status(output.out, state, _of_record(record), record, driver)
        record, settings = output.run_record(), output.settings()
        if record is None:
            if settings is None and read_driver(output.folder, output.driver_json) is None:
                raise NoOutput(self._none())
            state = RUNNING if driver else STOPPED
        elif settings is None:
            state = UPDATING if driver else COMPLETE
            return Status(output.out, state, _of_record(record), record, driver)
        else:
            state = UPDATING if driver else UPDATE_STOPPED
        return Status(output.out, state, self._tally.count(), record, driver)

    def _driver(self) -> Driver | None:
        """The driver that is at work, if there is one."""
        found = read_driver(self.output.folder, self.output.driver_json)
        return found if found and Driver.this().is_at_work(found) else None

    def _none(self) -> str:
        """Why there is nothing to report."""
        output = self.output
        next(output.folder.entries(output.work), None)  # where there is no bucket, it is an error
        name = output.table("segments") if output.single_file else ""
        there = next(output.folder.entries(name), None) if not name else output.folder.find(name)
        if there:
            return f"{output.out}: not an output of batch-ser; expected what --out of a run was"
        return f"{output.out}: no output of batch-ser; expected what --out of a run was"


def _new_record(content: Mapping[str, Any]) -> RunRecord | None:
    """The record of tables that are being published; None while all are being removed."""
    try:
        return RunRecord.from_json(content["new"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _of_record(record: RunRecord | None) -> Committed:
    """What complete tables hold, without reading them."""
    if record is None:
        return Committed()
    counts = record.counts
    return Committed(counts.files, counts.reasons, counts.seconds.get("duration_s", 0.0))


def _reasons(committed: Committed) -> Counter[str]:
    return Counter({word: count for word, count in committed.reasons.items() if word and count})


def as_time(seconds: float) -> str | None:
    """Seconds since 1970 as ISO 8601, UTC; None for 0."""
    if not seconds:
        return None
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):  # a forged one
        return None


def _last_run(record: RunRecord) -> dict[str, float]:
    last = record.last_run
    speed = last.audio_s / last.wall_s if last.wall_s > 0 else 0.0
    return {"audio_s": last.audio_s, "wall_s": last.wall_s, "speed_x_real_time": speed}


def _driver(driver: Driver, now: float) -> dict[str, Any]:
    return {
        "since": one_line(driver.since),
        "host": one_line(driver.host),
        "process": driver.pid,
        "beat_age_s": max(0.0, now - driver.beat),
    }
