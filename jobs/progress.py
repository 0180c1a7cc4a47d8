"""Progress on standard error: a line that is updated on a terminal, else one line a minute.

A thread of its own writes it, so that there is a line while inputs are read, workers start, or a
long file is scored.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TextIO

from jobs.figures import MAKING_TABLES, SCORING, Figures

if TYPE_CHECKING:  # loading them takes seconds, in which there is progress to be reported
    from batch_ser.inputs import InputFile
    from jobs.worker import ShardResult

FIRST_AFTER_S = 2.0  # a mistake in the command is reported earlier, without a line of progress
TERMINAL_EVERY_S = 0.5
LOG_EVERY_S = 60.0
SPEED_OVER_S = 120.0  # the latest results: workers that join, and other files, change the speed
SPEED_KNOWN_AFTER_S = 10.0  # between the first of these results and the last


@dataclass(frozen=True)
class _Done:
    """What was done at a time."""

    at_s: float
    work_s: float  # estimated from the listing
    audio_s: float


class Progress:
    """Counts what is listed and done, and writes it."""

    def __init__(
        self, stream: TextIO | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._clock_s = clock_s
        self._started_s = clock_s()
        self._next_s = self._started_s + FIRST_AFTER_S
        self._phase = "starting"
        self._listed = self._files = self._failed = 0
        self._listed_work_s = 0.0
        self._estimates_s: dict[str, float] = {}  # of work that is not done
        self._partly_s: dict[str, float] = {}  # audio that is counted, of files that are not done
        self._all_listed = False
        self._done = _Done(0.0, 0.0, 0.0)
        self._latest: deque[_Done] = deque()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Write from now on; a second time, inside, it changes nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_until_ended, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write no more; leave the terminal's line as it is, and go to the next."""
        self._ended.set()
        if self._thread:
            self._thread.join()
        with self._lock:
            if self._terminal and self._latest:
                self._phase = SCORING  # the line that stays is of the work
                self._write()
                self._stream.write("\n")
            self._terminal = False

    def _write_until_ended(self) -> None:
        while not self._ended.wait(TERMINAL_EVERY_S):
            self.write_if_due()

    def note(self, text: str) -> None:
        """Write a line that stays, above that of the progress."""
        with self._lock:
            self._stream.write(f"\r\x1b[2K{text}\n" if self._terminal else f"{text}\n")
            self._stream.flush()

    def begin(self, phase: str) -> None:
        """Name what is done until the first results come."""
        self._phase = phase

    def begin_work(self) -> None:
        """Count `wall_s` from now."""
        self._started_s = self._clock_s()

    def listing(self, files: "Iterable[InputFile]") -> "Iterator[InputFile]":
        """Count files on their way to the shards."""
        from jobs.sharding import work_s

        for file in files:
            estimate_s = work_s(file)
            with self._lock:
                self._listed += 1
                self._listed_work_s += estimate_s
                self._estimates_s[file.file] = estimate_s
            yield file
        self._all_listed = True

    def done(self, result: "ShardResult") -> None:
        """Count a shard's files, and of one that is not done what has been decoded by now."""
        rows = result.files.select(["file", "status", "duration_s"]).to_pylist()
        with self._lock:
            self._phase = SCORING
            work_s, audio_s = self._done.work_s, self._done.audio_s
            for row in rows:
                count = self._count_part if row["status"] == "partial" else self._count_file
                more_work_s, more_audio_s = count(row)
                work_s, audio_s = work_s + more_work_s, audio_s + more_audio_s
            self._done = _Done(self._clock_s(), work_s, audio_s)
            self._latest.append(self._done)
            while self._done.at_s - self._latest[0].at_s > SPEED_OVER_S and len(self._latest) > 2:
                self._latest.popleft()

    def _count_file(self, row: dict[str, Any]) -> tuple[float, float]:
        """Work and audio that a row of a file adds to what is counted."""
        self._files += 1
        self._failed += row["status"] == "failed"
        partly_s = self._partly_s.pop(row["file"], 0.0)
        audio_s = max(0.0, (row["duration_s"] or 0.0) - partly_s)
        return self._estimates_s.pop(row["file"], 0.0), audio_s

    def _count_part(self, row: dict[str, Any]) -> tuple[float, float]:
        """The same of a row of status `partial`; a file that is begun again adds nothing yet."""
        from jobs.sharding import WORK_PER_AUDIO_S

        name, before_s = row["file"], self._partly_s.get(row["file"], 0.0)
        audio_s = max(0.0, row["duration_s"] - before_s)
        self._partly_s[name] = before_s + audio_s
        left_s = self._estimates_s.get(name, 0.0)
        work_s = min(left_s, audio_s * WORK_PER_AUDIO_S)
        self._estimates_s[name] = left_s - work_s
        return work_s, audio_s

    @property
    def wall_s(self) -> float:
        """Seconds since work began."""
        return self._clock_s() - self._started_s

    @property
    def audio_s(self) -> float:
        """Seconds of audio done by this run."""
        return self._done.audio_s

    def figures(self) -> Figures:
        """What is known now."""
        with self._lock:
            return self._figures()

    def write_if_due(self) -> None:
        """Write the line, if it is time for one."""
        with self._lock:
            if self._clock_s() >= self._next_s:
                self._next_s = self._clock_s()
                self._next_s += TERMINAL_EVERY_S if self._terminal else LOG_EVERY_S
                self._write()

    def _write(self) -> None:
        line = self._line()
        self._stream.write(f"\r\x1b[2K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()

    def _line(self) -> str:
        return self._figures().as_text()

    def _figures(self) -> Figures:
        speed, left_s = self._speed_and_left()
        return Figures(
            phase=self._phase,
            files_listed=self._listed,
            all_listed=self._all_listed,
            files_done=self._files,
            files_failed=self._failed,
            audio_s=self.audio_s,
            speed_x_real_time=speed,
            left_s=left_s,
        )

    def _speed_and_left(self) -> tuple[float | None, float | None]:
        """Seconds of audio in a second, and seconds left; None as long as they are not known."""
        if not self._latest:
            return None, None
        first, last = self._latest[0], self._latest[-1]
        known_s = last.at_s - first.at_s
        if known_s < SPEED_KNOWN_AFTER_S or self._phase == MAKING_TABLES:
            return None, None
        speed = (last.audio_s - first.audio_s) / known_s
        work_speed = (last.work_s - first.work_s) / known_s
        if not self._all_listed or self._files >= self._listed or not work_speed:
            return speed, None
        work_left_s = self._listed_work_s - last.work_s
        left_s = work_left_s / work_speed - (self._clock_s() - last.at_s)
        return speed, left_s if left_s > 0 else None
