"""Progress, by a clock that the tests set: the first line early, and no time left that is wrong."""

import io
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pytest

from batch_ser.inputs import InputFile
from jobs.progress import FIRST_AFTER_S, LOG_EVERY_S, Progress
from jobs.sharding import plan, work_s

UNITS_S = {"s": 1, "min": 60, "h": 3600}


@dataclass
class Clock:
    now_s: float = 1000.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Result:
    """What progress reads of a shard's result."""

    files: pa.Table = field(repr=False)


def result_of(shard: list[InputFile], status: str = "ok") -> Result:
    names = [file.file for file in shard]
    return Result(
        pa.table(
            {"file": names, "status": [status] * len(names), "duration_s": [60.0] * len(names)}
        )
    )


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def archive(count: int, size_bytes: int = 1_000_000) -> list[InputFile]:
    return [InputFile(f"{n}.wav", f"/a/{n}.wav", size_bytes) for n in range(count)]


def left_s(line: str) -> float | None:
    """The time left that a line states."""
    found = re.search(r"([\dhmins ]+) left", line)
    if not found:
        return None
    return sum(float(n) * UNITS_S[unit] for n, unit in re.findall(r"(\d+) (h|min|s)", found[1]))


def lines_of_a_job(
    files: list[InputFile], *, start_s: float, joins_s: list[float], factor: float, every_s: float
) -> Iterator[tuple[float, str, float]]:
    """Seconds, line, and true seconds left of a job whose workers join at these times.

    A shard takes `factor` times what is estimated.
    """
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    begin_s = clock.now_s
    shards = plan(progress.listing(files), len(joins_s))
    free_s = [start_s + each for each in joins_s]
    ends: list[tuple[float, list[InputFile]]] = []
    for shard in shards:
        worker = free_s.index(min(free_s))
        free_s[worker] += factor * sum(map(work_s, shard))
        ends.append((free_s[worker], shard))
    end_s = max(free_s)
    at_s = 0.0
    for done_s, shard in [*sorted(ends, key=lambda each: each[0]), (end_s, [])]:
        while at_s < done_s:
            clock.now_s = begin_s + at_s
            yield at_s, progress._line(), end_s - at_s
            at_s += every_s
        clock.now_s = begin_s + done_s
        if shard:
            progress.done(result_of(shard))  # type: ignore[arg-type]


@pytest.mark.parametrize("start_s", [0.0, 45.0])
@pytest.mark.parametrize("joins_s", [[0.0], [0.0, 30.0], [0.0, 5.0, 5.0, 90.0]])
@pytest.mark.parametrize("factor", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("count", [60, 600])
def test_the_time_left_is_stated_once_it_is_known(
    start_s: float, joins_s: list[float], factor: float, count: int
) -> None:
    stated = 0
    lines = lines_of_a_job(
        archive(count), start_s=start_s, joins_s=joins_s, factor=factor, every_s=1.0
    )
    for _, line, true_s in lines:
        if (found := left_s(line)) is not None:
            stated += 1
            # workers that are yet to join make it shorter; the resolution is that of a shard
            assert found < (len(joins_s) + 0.5) * true_s + 20 * factor + 30, line
            assert found > 0.3 * true_s - 20 * factor - 30, line
    assert stated or count == 60


def test_nothing_is_stated_of_a_job_of_a_minute_that_starts_slowly() -> None:
    """Once a start of 40 s and a tiny first file made 16 hours of it."""
    files = [*archive(60), InputFile("tiny.wav", "/a/tiny.wav", 10)]
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    list(progress.listing(files))
    clock.now_s += 40
    progress.done(result_of(files[-1:]))  # type: ignore[arg-type]
    assert progress._line() == "1 of 61 files, 0.02 h of audio"
    clock.now_s += 5
    progress.done(result_of(files[:10]))  # type: ignore[arg-type]
    assert "left" not in progress._line()
    clock.now_s += 5
    progress.done(result_of(files[10:20]))  # type: ignore[arg-type]
    assert left_s(progress._line()) == 20


def partial_result_of(file: InputFile, duration_s: float) -> Result:
    row = {"file": [file.file], "status": ["partial"], "duration_s": [duration_s]}
    return Result(pa.table(row))


def test_a_long_recording_counts_while_it_is_scored_and_once() -> None:
    """Also where its worker dies, and it is begun again."""
    hour = InputFile("hour.wav", "/a/hour.wav", 3600 * 16_000)
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    list(progress.listing([hour, *archive(1)]))
    lines, left = [], []
    for duration_s in (600.0, 1200.0, 600.0, 1200.0, 1800.0):
        progress.done(partial_result_of(hour, duration_s))  # type: ignore[arg-type]
        lines.append(progress._line())
        left.append(left_s(lines[-1]))
        clock.now_s += 60
    audio = [line.split(", ")[1].split(" of ")[0] for line in lines]
    assert audio == ["0.17 h", "0.33 h", "0.33 h", "0.33 h", "0.50 h"]
    assert all(line.startswith("0 of 2 files") for line in lines)
    assert left[0] is None  # the speed is not known
    assert left[1] == pytest.approx(4 * 60, abs=10)
    assert left[4] == pytest.approx(6 * 60, abs=15)  # 20 minutes of audio in 4 minutes
    final = pa.table({"file": ["hour.wav"], "status": ["ok"], "duration_s": [3600.0]})
    progress.done(Result(final))  # type: ignore[arg-type]
    assert progress.audio_s == 3600
    progress.done(result_of(archive(1)))  # type: ignore[arg-type]
    assert progress.audio_s == 3660
    assert progress._done.work_s == pytest.approx(sum(map(work_s, [hour, *archive(1)])))


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_the_first_line_does_not_wait_for_results(stream: type[io.StringIO]) -> None:
    written, clock = stream(), Clock()
    progress = Progress(written, clock)
    progress.begin("reading the inputs")
    progress.write_if_due()
    assert not written.getvalue()
    clock.now_s += FIRST_AFTER_S
    progress.write_if_due()
    assert "reading the inputs" in written.getvalue()
    assert FIRST_AFTER_S < 5


def test_without_a_terminal_there_is_a_line_a_minute() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = Progress(stream, clock)
    files = archive(40)
    list(progress.listing(files))
    for second in range(600):
        clock.now_s += 1
        if second % 20 == 0 and files:
            progress.done(result_of([files.pop()], "failed"))  # type: ignore[arg-type]
        progress.write_if_due()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 600 // LOG_EVERY_S
    assert lines[0] == "1 of 40 files, 0.02 h of audio, 1 failed"
    assert all("1 of 40" not in line for line in lines[1:])
    assert "\r" not in stream.getvalue()


def test_lines_are_written_while_the_job_waits() -> None:
    """By a thread, which ends with the job and writes nothing after."""

    class Stream(io.StringIO):
        seen = threading.Event()

        def write(self, text: str) -> int:
            self.seen.set()
            return super().write(text)

    stream, clock = Stream(), Clock()
    with Progress(stream, clock) as progress, progress:
        clock.now_s += FIRST_AFTER_S
        assert stream.seen.wait(60)
    length = len(stream.getvalue())
    clock.now_s += 600
    assert len(stream.getvalue()) == length
    assert progress._thread
    assert not progress._thread.is_alive()


def test_a_terminal_s_last_line_is_left() -> None:
    stream, clock = Terminal(), Clock()
    with Progress(stream, clock) as progress:
        files = archive(2)
        list(progress.listing(files))
        progress.done(result_of(files))  # type: ignore[arg-type]
    assert stream.getvalue().endswith("2 of 2 files, 0.03 h of audio\n")
