"""Progress on standard error: a line that is updated on a terminal, else one line a minute."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TextIO

import pyarrow.compute as pc

from batch_ser.inputs import InputFile
from jobs.sharding import work_s
from jobs.worker import ShardResult

TERMINAL_EVERY_S = 0.5
LOG_EVERY_S = 60.0


class Progress:
    """Counts what is listed and done, and writes it."""

    def __init__(self, stream: TextIO = sys.stderr) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._started = self._written = time.monotonic()
        self._listed = self._files = self._failed = 0
        self._listed_s = self._work_s = self._audio_s = 0.0
        self._estimates: dict[str, float] = {}
        self._all_listed = False

    def listing(self, files: Iterable[InputFile]) -> Iterator[InputFile]:
        """Count files on their way to the shards."""
        for file in files:
            self._listed += 1
            self._listed_s += work_s(file)
            self._estimates[file.file] = work_s(file)
            yield file
        self._all_listed = True

    def done(self, result: ShardResult) -> None:
        """Count a shard's files."""
        self._files += len(result.files)
        self._failed += pc.sum(pc.equal(result.files["status"], "failed")).as_py() or 0
        self._audio_s += pc.sum(result.files["duration_s"]).as_py() or 0.0
        for name in result.files["file"].to_pylist():
            self._work_s += self._estimates.pop(name, 0.0)
        every = TERMINAL_EVERY_S if self._terminal else LOG_EVERY_S
        if time.monotonic() - self._written >= every:
            self.write()

    @property
    def wall_s(self) -> float:
        return time.monotonic() - self._started

    @property
    def audio_s(self) -> float:
        """Seconds of audio done by this run."""
        return self._audio_s

    def write(self) -> None:
        """Write the line now."""
        self._written = time.monotonic()
        total = f"{self._listed:,}" if self._all_listed else f"{self._listed:,}+ (still listing)"
        line = (
            f"{self._files:,} of {total} files, {self._audio_s / 3600:.2f} h of audio, "
            f"{self._audio_s / max(self.wall_s, 1e-9):.0f} x real time"
        )
        if self._failed:
            line += f", {self._failed:,} failed"
        if self._all_listed and self._work_s and self._files < self._listed:
            left_s = self.wall_s * (self._listed_s - self._work_s) / self._work_s
            line += f", {duration(left_s)} left"
        self._stream.write(f"\r\x1b[2K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()

    def end(self) -> None:
        """Leave the terminal's line as it is, and go to the next."""
        if self._terminal and self._files:
            self.write()
            self._stream.write("\n")


def duration(seconds: float) -> str:
    """Seconds as text: 45 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"
