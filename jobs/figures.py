"""What is known of a run's progress: on standard error, in heartbeats and in `batch-ser status`.

Figures of a heartbeat were written by another process, perhaps of another version: whatever does
not read as figures counts as none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

SCORING, MAKING_TABLES = "scoring", "making the tables"  # phases of a run; others come before
MAX_TEXT = 200
MAX_NUMBER = 1e15


@dataclass(frozen=True)
class Figures:
    """Of one call of a run, which may go on where earlier ones ended; fields are keys of JSON."""

    phase: str
    files_listed: int = 0  # to be done by this call
    all_listed: bool = False
    files_done: int = 0  # by this call
    files_failed: int = 0
    audio_s: float = 0.0  # done by this call
    speed_x_real_time: float | None = None  # seconds of audio in a second; None: not known yet
    left_s: float | None = None  # estimated; None: not known

    @classmethod
    def from_json(cls, content: object) -> "Figures | None":
        """The figures that a heartbeat states; None if they are none."""
        if not isinstance(content, Mapping):
            return None
        known = {each.name: content[each.name] for each in fields(cls) if each.name in content}
        if not all(_is_plausible(name, value) for name, value in known.items()):
            return None
        return cls(**known) if "phase" in known else None

    def as_text(self) -> str:
        """One line."""
        if not self.files_done and not self.audio_s:
            return self.phase + (
                f": {self.files_listed:,} files found" if self.files_listed else ""
            )
        still = "" if self.all_listed else "+ (still listing)"
        line = f"{self.files_done:,} of {self.files_listed:,}{still} files, "
        line += f"{self.audio_s / 3600:.2f} h of audio"
        if self.files_failed:
            line += f", {self.files_failed:,} failed"
        if self.speed_x_real_time is not None:
            line += f", {self.speed_x_real_time:.0f} x real time"
        if self.left_s is not None:
            line += f", {duration(self.left_s)} left"
        return f"{line}, {self.phase}" if self.phase == MAKING_TABLES else line


def _is_plausible(name: str, value: Any) -> bool:
    """Whether a value can be that of a field: its type, and no number that is out of all bounds."""
    if name == "phase":
        return type(value) is str and len(value) <= MAX_TEXT
    if name == "all_listed":
        return type(value) is bool
    if name in ("speed_x_real_time", "left_s") and value is None:
        return True
    types = (int,) if name.startswith("files_") else (int, float)
    return type(value) in types and 0 <= value <= MAX_NUMBER  # a comparison with NaN is false


def duration(seconds: float) -> str:
    """Seconds as text: 45 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def one_line(text: str) -> str:
    """A text without line breaks and other control characters, which a name may hold."""
    return "".join(each if each.isprintable() else "?" for each in text)
