"""What a driver can take: thousands of workers, of which only the scoring is simulated.

`python benchmarks/driver_load.py` writes a section of docs/results.md. It is a simulation:
workers return the result of a real recording, under other names and with other numbers, when the
work on it would be done. What the driver then does is its own code, and its clock goes on by the
seconds of the processor that this took: shards, tasks, results unpickled, progress, heartbeat,
parts in Parquet. So it needs no quiet machine, and waits for disks are left out. What Ray itself
costs the driver is measured apart, by actors that do nothing.
"""

import heapq
import io
import os
import pickle
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import soundfile
from many_files import SPEECH, alone, peak_mb
from results import write_section

from batch_ser.audio import load
from batch_ser.inputs import InputFile
from batch_ser.results import CommittedParts, LastRun, Output, finalise, new_parts
from jobs import RunConfig, commit
from jobs.alarm_sums import AlarmSums
from jobs.commit import Committer
from jobs.driver import record_of
from jobs.heartbeat import Heartbeat
from jobs.job import prepare
from jobs.progress import Progress
from jobs.ray_cluster import cluster
from jobs.sharding import plan, work_s
from jobs.stop import OrderlyStop
from jobs.tasks import Tasks
from jobs.worker import ShardResult, ShardSettings, score_shard
from jobs.worker_process import Workers

WORKERS = (10, 100, 1_000, 3_000, 6_000)
PUBLISHED = 1_000  # workers of the job whose tables are made
RUN_S = 80.0  # of the simulation: with several commits
SETTLED_S = 40.0  # from then on: workers have joined, and first shards of 2 s are done
JOIN_S = 20.0  # in which workers join
JITTER = 0.3  # of the time that a shard takes
CALL_S = 180.0
SHARD_FILES = 8
RATE_HZ = 8_000
MODEL = "fast"
REFERENCES = (100, 1_000, 3_000)
WAITS = 300
CALLS = 1_000
ACTORS = 4


@dataclass(frozen=True)
class Load:
    """What a driver did in the settled part of a simulated job."""

    workers: int
    wall_s: float
    cpu_s: float
    shards: int
    files: int
    files_in_all: int
    behind_s: list[float]  # from the end of a shard's work until the driver takes its result
    idle_mb: float
    peak_mb: float
    part_mb: float  # the largest part


@dataclass(frozen=True)
class Published:
    """What the end of a job took."""

    files: int
    segments: int
    wall_s: float
    cpu_s: float
    table_mb: float
    above_mb: float


def real_result(folder: Path) -> tuple[ShardResult, InputFile, ShardSettings]:
    """A call of three minutes in two channels, scored: the result of a shard of one file."""
    speech = np.resize(load(str(SPEECH), RATE_HZ), round(CALL_S * RATE_HZ))
    both = np.stack([speech, np.roll(speech, 5 * RATE_HZ)], axis=1)
    soundfile.write(folder / "call.wav", both, RATE_HZ, subtype="ULAW")
    job = prepare(RunConfig((str(folder / "call.wav"),), str(folder / "out"), MODEL))
    [file] = list(job.walk)
    [result] = list(score_shard([file], job.checkpoint, job.settings))
    return result, file, job.settings


class Renamed:
    """The rows of one file, as those of several: quick, so that it is not what limits."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._at = table.schema.get_field_index("file")
        self._several: dict[int, tuple[pa.Table, pa.Array]] = {}  # by the number of files

    def __call__(self, names: list[str]) -> pa.Table:
        number, rows = len(names), len(self._table)
        if number not in self._several:
            table = pa.concat_tables([self._table] * number).combine_chunks()
            self._several[number] = table, pa.array(np.repeat(np.arange(number, dtype="i4"), rows))
        table, positions = self._several[number]
        field = table.schema.field(self._at)
        column = pa.DictionaryArray.from_arrays(positions, pa.array(names))
        return table.set_column(self._at, field, column.cast(field.type))


RANDOM = np.random.default_rng(1)


def other_values(table: pa.Table) -> pa.Table:
    """Numbers by chance in place of real ones, which repeat here: they would take no space."""
    for at, field_ in enumerate(table.schema):
        kind = field_.type
        width = kind.list_size if pa.types.is_fixed_size_list(kind) else 1
        values = kind.value_type if width > 1 else kind
        if pa.types.is_floating(values):
            numbers = RANDOM.random(len(table) * width).astype(values.to_pandas_dtype())
            column = pa.array(numbers, values)
            if width > 1:
                column = pa.FixedSizeListArray.from_arrays(column, type=kind)
            table = table.set_column(at, field_, column)
    return table


class Shards:
    """Results of shards, of that of one file."""

    def __init__(self, result: ShardResult) -> None:
        self._result = result
        self._segments, self._files, self._speech = map(
            Renamed, (result.segments, result.files, result.speech)
        )

    def __call__(self, names: list[str]) -> ShardResult:
        return replace(
            self._result,
            segments=other_values(self._segments(names)),
            files=self._files(names),
            speech=self._speech(names),
        )


def inputs(like: InputFile) -> Iterator[InputFile]:
    """More calls than there is time for."""
    for number in count():
        name = f"2026-11-{number // 10_000:04}/call-{number:09}.wav"
        yield replace(like, file=name, path=f"/calls/{name}")


@dataclass
class Clock:
    """The driver's: it stands still while results are made, and jumps where there are none."""

    now_s: float = 0.0
    behind_s: list[float] = field(default_factory=list)
    busy_s: float = 0.0

    def monotonic(self) -> float:
        return self.now_s

    @contextmanager
    def running(self) -> Iterator[None]:
        started_s = time.process_time()
        yield
        taken_s = time.process_time() - started_s
        self.now_s += taken_s
        self.busy_s += taken_s


class Simulated:
    """A driver, and the workers that it has none of."""

    def __init__(self, folder: Path, workers: int) -> None:
        result, self._like, settings = real_result(folder)
        self._schemas = settings.schemas
        self._shards, self._chance, self._order = Shards(result), random.Random(workers), count()
        self._workers, self._folder = workers, folder
        self._output = Output(str(folder / "out"))
        new_parts(self._output, {})
        self._clock = Clock()
        self._due: list[tuple[float, int, list[str] | None]] = [
            (JOIN_S * number / workers, next(self._order), None) for number in range(workers)
        ]
        heapq.heapify(self._due)

    def load(self) -> Load:
        """Drive until `RUN_S`; what is measured begins at `SETTLED_S`."""
        clock, files, shards, in_all, idle_mb = self._clock, 0, 0, 0, peak_mb()
        commit.time = clock  # type: ignore[attr-defined]
        progress = Progress(io.StringIO(), clock.monotonic)
        with Heartbeat(self._output, progress.figures) as heartbeat:
            committer = Committer(CommittedParts.of(self._output), heartbeat.check)
            planned = plan(progress.listing(inputs(self._like)), self._workers)
            tasks = Tasks(planned, self._schemas, 600.0)
            settled = False
            while clock.now_s < RUN_S:
                if not settled and clock.now_s > SETTLED_S:
                    settled, clock.behind_s, clock.busy_s, files, shards = True, [], 0.0, 0, 0
                done = self._next(tasks, committer, progress)
                files, shards, in_all = files + done, shards + (done > 0), in_all + done
            committer.flush()
        parts = [path.stat().st_size for path in Path(self._folder).rglob("*.segments.parquet")]
        return Load(
            *(self._workers, RUN_S - SETTLED_S, clock.busy_s, shards, files, in_all),
            *(clock.behind_s, idle_mb, peak_mb(), max(parts, default=0) / 1e6),
        )

    def _next(self, tasks: Tasks, committer: Committer, progress: Progress) -> int:
        """The next worker is done: its next task, and its result; returns how many files it had."""
        clock = self._clock
        due_s, _, names = heapq.heappop(self._due)
        message = pickle.dumps(self._shards(names)) if names else b""
        clock.now_s = max(clock.now_s, due_s)
        clock.behind_s.append(clock.now_s - due_s)
        with clock.running():
            result = pickle.loads(message) if names else None
            shard = tasks.take().shard
            assert not committer.partial_rows(shard)
        shard_s = sum(map(work_s, shard)) * self._chance.uniform(1 - JITTER, 1 + JITTER)
        next_names = [file.file for file in shard]
        heapq.heappush(self._due, (clock.now_s + shard_s, next(self._order), next_names))
        if result is None:
            return 0
        with clock.running():
            committer.add(result)
            progress.done(result)
        return len(result.files)


def driven(folder: Path, workers: int) -> Load:
    return Simulated(folder, workers).load()


def load_row(load: Load) -> str:
    late = np.array(load.behind_s or [0.0])
    return (
        f"| {load.workers:,} | {load.files / load.wall_s:,.0f} | {load.cpu_s / load.wall_s:.0%} "
        f"| {1e3 * load.cpu_s / max(load.shards, 1):.1f} | {np.median(late):.2f} "
        f"| {np.quantile(late, 0.99):.1f} | {late.max():.1f} | {load.peak_mb - load.idle_mb:.0f} "
        f"| {load.part_mb:.0f} | {load.files_in_all:,} |"
    )


def published(folder: Path) -> Published:
    """Make the final tables of a simulated job, as its driver does at the end."""
    load = Simulated(folder, PUBLISHED).load()
    job = prepare(RunConfig((str(folder / "call.wav"),), str(folder / "out"), MODEL))
    committed, idle_mb = CommittedParts.of(job.output), peak_mb()
    last_run = LastRun("2026-01-01T00:00:00+00:00", RUN_S, 0.0, {}, 0)
    started, cpu_s = time.perf_counter(), time.process_time()
    record = finalise(
        *(job.output, committed, job.schemas, record_of(job, last_run, committed)),
        *(job.second_pass, lambda: None),
        AlarmSums(job.checkpoint, job.schemas, job.adaptation),
    )
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    table_mb = sum(path.stat().st_size for path in (folder / "out").rglob("*.parquet")) / 1e6
    assert len(committed.files) >= load.files
    return Published(
        *(len(committed.files), record.counts.segments, wall_s, cpu_s, table_mb),
        peak_mb() - idle_mb,
    )


def published_line(done: Published) -> str:
    return (
        f"The final tables of {done.files:,} such files, {done.segments:,} segments, with "
        f"embeddings and all probabilities computed again: {done.wall_s:.0f} s by the clock, "
        f"{done.cpu_s:.0f} s of the processor, {done.table_mb:.0f} MB, {done.above_mb:.0f} MB of "
        f"memory more. That is {1e6 * done.cpu_s / done.segments:.0f} s of the driver's processor "
        "for a million segments."
    )


class Nothing:
    """An actor that returns what it was made with."""

    def __init__(self, result: ShardResult) -> None:
        self._result = result

    def score(self) -> Iterator[ShardResult]:
        yield self._result

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def on_ray(folder: Path) -> list[str]:
    """What Ray costs a driver: looking for a result among many, and a call with its result."""
    result, _, settings = real_result(folder)
    shard = Shards(result)([f"call-{number}.wav" for number in range(SHARD_FILES)])
    workers = Workers(2, MODEL, "cpu", settings, 600.0)
    with cluster(workers, OrderlyStop()):
        actor: Any = ray.remote(Nothing).options(num_cpus=0)
        waits = {number: seconds_of_a_wait(actor, result, number) for number in REFERENCES}
        call_s = seconds_of_a_call(actor, shard)
    shown = "; ".join(f"{number:,}: {1e3 * wait_s:.2f} ms" for number, wait_s in waits.items())
    return [
        "",
        "Ray's part, which the simulation leaves out, in the driver's processor: a call of an "
        f"actor that returns the result of such a shard as a stream, {1e3 * call_s:.1f} ms; "
        f"looking for a result with `ray.wait` among many calls, {shown}.",
    ]


def seconds_of_a_wait(actor: Any, result: ShardResult, number: int) -> float:
    """Of `ray.wait`, in this process, while one reference is ready and the others are not."""
    busy, ready = actor.remote(result), ray.put(0)
    busy.sleep.remote(10_000.0)
    references = [busy.sleep.remote(0.0) for _ in range(number - 1)] + [ready]
    ray.wait(references, num_returns=1, timeout=1.0)
    started = time.process_time()
    for _ in range(WAITS):
        done, _ = ray.wait(list(references), num_returns=1, timeout=1.0)
        assert done == [ready]
    seconds = (time.process_time() - started) / WAITS
    ray.kill(busy)
    return seconds


def seconds_of_a_call(actor: Any, result: ShardResult) -> float:
    """Seconds of this process's time for a call and its result, with few calls at a time."""
    actors = [actor.remote(result) for _ in range(ACTORS)]
    ray.get([each.sleep.remote(0.0) for each in actors])  # they have started
    pending = {each.score.options(num_returns="streaming").remote(): each for each in actors}
    cpu_s = time.process_time()
    for _ in range(CALLS):
        [done], _ = ray.wait(list(pending), num_returns=1)
        ray.get(next(done))
        worker = pending.pop(done)
        pending[worker.score.options(num_returns="streaming").remote()] = worker
    return (time.process_time() - cpu_s) / CALLS


def main() -> None:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    lines = [
        f"Calls of {CALL_S / 60:g} min in two channels, `--model {MODEL}`, shards of about 20 s of "
        f"work; {RUN_S:g} s simulated, of which the last {RUN_S - SETTLED_S:g} s count. The driver "
        "does everything that it does in a job; its time is that of its processor, without waits "
        "for a disk or store.",
        "",
        "| workers | files a second | of one core | ms a shard | result waits, s: median | 99 % "
        "| longest | peak above idle, MB | largest part, MB | files in all |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for workers in WORKERS:
        with tempfile.TemporaryDirectory() as folder:
            lines.append(load_row(alone(driven, Path(folder), workers)))
            print(lines[-1], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        lines += ["", published_line(alone(published, Path(folder)))]
    with tempfile.TemporaryDirectory() as folder:
        lines += on_ray(Path(folder))
    write_section("Load on the driver", "python benchmarks/driver_load.py", lines)


if __name__ == "__main__":
    main()
