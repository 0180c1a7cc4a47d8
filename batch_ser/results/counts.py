"""What the tables hold, counted: files, reasons, notes, seconds, segments by emotion."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

SUMS = ("decoded_s", "scored_s", "not_speech_s", "too_short_s", "not_asked_s", "duration_s")
COUNTERS = ("files", "reasons", "notes", "emotions")


@dataclass
class Counts:
    """The counts of `run.json`."""

    files: Counter[str] = field(default_factory=Counter)  # by status
    reasons: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    emotions: Counter[str] = field(default_factory=Counter)  # segments
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SUMS, 0.0))

    @property
    def files_in(self) -> int:
        """All inputs."""
        return self.files.total()

    @property
    def segments(self) -> int:
        return self.emotions.total()

    def add_files(self, rows: pa.Table) -> None:
        """Count rows of the files table."""
        self.files.update(rows["status"].to_pylist())
        self.reasons.update(word for word in rows["reason"].to_pylist() if word)
        notes = (note.split(", ") for note in rows["note"].to_pylist() if note)
        self.notes.update(word for words in notes for word in words)
        for name in SUMS:
            self.seconds[name] += pc.sum(rows[name]).as_py() or 0.0

    def add_segments(self, rows: pa.Table) -> None:
        """Count rows of the segments table."""
        for count in pc.value_counts(rows["emotion"].cast(pa.string())).to_pylist():
            self.emotions[count["values"]] += count["counts"]

    def as_json(self) -> dict[str, Any]:
        """As `run.json` has them; keys in order, so that two equal jobs read equal."""
        content: dict[str, Any] = {
            name: dict(sorted(getattr(self, name).items())) for name in COUNTERS
        }
        content["seconds"] = self.seconds
        return content | {"files_in": self.files_in, "segments": self.segments}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "Counts":
        """The counts that `as_json` wrote.

        Raises:
            ValueError: they do not add up.
        """
        counters = {name: Counter(content.get(name, {})) for name in COUNTERS}
        found = cls(**counters, seconds=dict(content["seconds"]))
        if (found.files_in, found.segments) != (content["files_in"], content["segments"]):
            raise ValueError("its counts do not add up")
        return found
