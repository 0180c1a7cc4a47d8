"""`batch-ser status` as text: a few lines, or one for a log."""

from batch_ser.results import EMPTY, FAILED, OK, PARTIAL
from jobs.figures import duration, one_line
from jobs.status import (
    COMPLETE,
    INTERRUPTED,
    PUBLISHING,
    RUNNING,
    STOPPED,
    UPDATE_STOPPED,
    UPDATING,
    Status,
)

STATES = {
    RUNNING: "running",
    STOPPED: "stopped, not complete",
    PUBLISHING: "running: replacing the tables",
    INTERRUPTED: "stopped while it replaced the tables",
    COMPLETE: "complete",
    UPDATING: "complete, and a driver is at work on it",
    UPDATE_STOPPED: "complete; more was begun and stopped",
}


def as_lines(status: Status) -> list[str]:
    """What there is to know, name and text in two columns."""
    content = status.as_json()
    lines = [("output", one_line(status.out)), ("state", STATES[status.state])]
    if driver := content["driver"]:
        lines += _driver_lines(driver)
    if status.progress:
        lines.append(("progress", one_line(status.progress.as_text())))
    lines += _count_lines(status)
    if content["finished"]:
        lines.append(("finished", one_line(str(content["finished"]))))
        last = content["last_run"]
        if last["audio_s"]:
            done = f"{last['audio_s'] / 3600:.3f} h in {duration(last['wall_s'])}"
            lines.append(("last run", f"{done}, {last['speed_x_real_time']:.0f} x real time"))
    if content["last_commit"]:
        lines.append(("last commit", content["last_commit"]))
    lines += [
        ("warning", one_line(f"{each['name']}: {each['message']}")) for each in content["alarms"]
    ]
    lines.append(("next", one_line(content["next"])))
    width = max(len(name) for name, _ in lines)
    return [f"{name:<{width}}  {text}" for name, text in lines]


def as_line(status: Status) -> str:
    """The same in one line."""
    line = f"{STATES[status.state]}; {status.files_done:,} files done, "
    line += f"{status.committed.audio_s / 3600:.2f} h, {status.committed.files[FAILED]:,} failed"
    return f"{line}; {one_line(status.progress.as_text())}" if status.progress else line


def _driver_lines(driver: dict[str, object]) -> list[tuple[str, str]]:
    where = f"since {driver['since']} on host {driver['host']} (process {driver['process']})"
    return [("driver", f"{where}, heartbeat {driver['beat_age_s']:.0f} s ago")]


def _count_lines(status: Status) -> list[tuple[str, str]]:
    committed = status.committed
    lines = [("files done", f"{status.files_done:,}")]
    for word in (OK, EMPTY, FAILED):
        lines.append((f"  {word}", f"{committed.files[word]:,}"))
    reasons = sorted(status.as_json()["reasons"].items(), key=lambda item: (-item[1], item[0]))
    lines += [(f"    {one_line(reason)}", f"{count:,}") for reason, count in reasons]
    if committed.files[PARTIAL]:
        hours = f"{committed.in_progress_s / 3600:.3f} h of them are committed"
        lines.append(("in progress", f"{committed.files[PARTIAL]:,}, {hours}"))
    if status.is_complete and committed.in_parts:
        lines.append(("not in the tables yet", f"{committed.in_parts:,} of these"))
    lines.append(("hours of recordings", f"{committed.audio_s / 3600:.3f}"))
    return lines
