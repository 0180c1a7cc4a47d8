"""Archives of very many files: time and memory of the driver.

`python benchmarks/many_files.py [NAME ...]` writes sections of docs/results.md. Every job runs in a
process of its own, so that its peak memory is its own; "above idle" is what it takes more than the
same job over ten files.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from results import write_section

from batch_ser.audio import load
from batch_ser.inputs import Walk
from batch_ser.results import FAILED, OK, Output, TableSchemas, file_row, new_parts, to_table
from batch_ser.results.parts import write_part
from jobs import RunConfig, run
from jobs.sharding import plan

FILES = 100_000
LINES = 1_000_000
SEGMENTS = 20_000
FEW = 10
PARTS = 400  # of a job of 3 h 20 min, with a commit every 30 s
LOOKS = 5
SEGMENT_S = 0.5
RATE_HZ = 16_000
LINKS = 1_000  # names of one file: file systems limit them
SPEECH = Path(__file__).parent.parent / "examples" / "calls" / "announcement.opus"
MODEL = "fast"


@dataclass(frozen=True)
class Measured:
    """A job in a process of its own."""

    wall_s: float
    peak_mb: float
    cpu_s: float = 0.0  # of the process: what a shared machine does not change
    shards: int = 0
    segments: int = 0
    failed: int = 0


def alone(function: Callable[..., Measured], *arguments: Any) -> Measured:
    """Call a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def peak_mb() -> float:
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def job(given: Path, out: Path, options: dict[str, Any]) -> Measured:
    """Run a job, in a process that has imported everything."""
    started, cpu_s = time.perf_counter(), time.process_time()
    record = run(RunConfig((str(given),), str(out), MODEL, **options)).record
    wall_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    failed = record.counts.files["failed"]
    return Measured(wall_s, peak_mb(), cpu_s, segments=record.counts.segments, failed=failed)


def planned(given: Path) -> Measured:
    """List an archive, and divide it into shards."""
    started = time.perf_counter()
    shards = sum(1 for _ in plan(Walk((str(given),)), 2))
    return Measured(time.perf_counter() - started, peak_mb(), shards=shards)


def write_files(folder: Path, count: int) -> Path:
    """Half a second of speech in every file, a thousand of them in a folder."""
    speech = load(str(SPEECH), RATE_HZ)
    length = round(SEGMENT_S * RATE_HZ)
    for number in range(count):
        below, at = divmod(number, LINKS)
        path = folder / f"{below:04}" / f"call-{at:04}.wav"
        if not at:
            path.parent.mkdir(parents=True)
            start = below * length % (len(speech) - length)
            soundfile.write(path, speech[start : start + length], RATE_HZ)
            first = path
        else:
            os.link(first, path)
    return folder


def many_files(folder: Path) -> list[str]:
    """A plan, a job on Ray, and the same command again."""
    many, few = write_files(folder / "many", FILES), write_files(folder / "few", FEW)
    listed, listed_few = alone(planned, many), alone(planned, few)
    options = {"segment": {"method": "whole"}}
    done, idle = (alone(job, each, each.with_suffix(".parquet"), options) for each in (many, few))
    again, idle_again = (
        alone(job, each, each.with_suffix(".parquet"), options) for each in (many, few)
    )
    assert done.segments == again.segments == FILES
    return [
        f"| {FILES:,} files of {SEGMENT_S:g} s, `--model {MODEL} --segment whole`, Ray | s "
        "| driver's peak above idle, MB | kB a file |",
        "|---|---|---|---|",
        row(f"listed and planned, {listed.shards} shards", listed, listed_few, FILES),
        row("the job", done, idle, FILES),
        row("the same command again, nothing to do", again, idle_again, FILES),
    ]


def row(name: str, of_many: Measured, idle: Measured, count: int) -> str:
    above_mb = of_many.peak_mb - idle.peak_mb
    return f"| {name} | {of_many.wall_s:.1f} | {above_mb:.0f} | {1e3 * above_mb / count:.2f} |"


def many_lines(folder: Path) -> list[str]:
    """A manifest whose files are missing: their rows take no work, and a resume looks at all."""

    def manifest(count: int) -> Path:
        path = folder / f"{count}.csv"
        lines = (f"{n // LINKS:04}/call-{n:07}.wav,agent-{n % 50}\n" for n in range(count))
        path.write_text("file,agent\n" + "".join(lines))
        return path

    listed = [manifest(LINES), manifest(FEW)]
    options = {"engine": "inline", "adapt": "none"}
    done, idle = (alone(job, each, each.with_suffix(".parquet"), options) for each in listed)
    again, idle_again = (alone(job, each, each.with_suffix(".parquet"), options) for each in listed)
    assert done.failed == again.failed == LINES
    return [
        f"| a manifest of {LINES:,} lines, all of missing files, inline | s "
        "| peak above idle, MB | kB a line |",
        "|---|---|---|---|",
        row("the job: a failed row for each", done, idle, LINES),
        row("the same command again: all lines are done", again, idle_again, LINES),
    ]


def many_segments(folder: Path) -> list[str]:
    """Given segments of one file, beside the same audio in as many files; one core each."""
    length = round(SEGMENT_S * RATE_HZ)
    samples = np.resize(load(str(SPEECH), RATE_HZ), SEGMENTS * length)
    (folder / "files").mkdir()
    soundfile.write(folder / "one.wav", samples, RATE_HZ)
    lines = []
    for number, part in enumerate(np.split(samples, SEGMENTS)):
        soundfile.write(folder / "files" / f"{number:05}.wav", part, RATE_HZ)
        lines.append(f"one.wav,{number * SEGMENT_S:g},{(number + 1) * SEGMENT_S:g}\n")
    (folder / "given.csv").write_text("file,start_s,end_s\n" + "".join(lines))
    inline = {"engine": "inline"}
    one = alone(job, folder / "given.csv", folder / "one.parquet", inline)
    whole = inline | {"segment": {"method": "whole"}}
    apart = alone(job, folder / "files", folder / "apart.parquet", whole)
    assert one.segments == apart.segments == SEGMENTS
    return [
        f"{SEGMENTS:,} given segments of {SEGMENT_S:g} s of one file, `--model {MODEL} --engine "
        f"inline`: {one.wall_s:.0f} s, {one.peak_mb:.0f} MB; the same audio in {SEGMENTS:,} files: "
        f"{apart.wall_s:.0f} s, {apart.peak_mb:.0f} MB. One file is the work of one worker."
    ]


def status(folder: Path) -> list[str]:
    """`batch-ser status` of a job that was stopped; the whole program, from its start."""
    output = Output(str(folder / "out.parquet"))
    schemas, below = TableSchemas(("neutral", "angry")), new_parts(output, {})
    segments, count = to_table([], schemas.segments), FILES // PARTS
    for part in range(PARTS):
        rows = [
            file_row(
                *(f"day-{part:04}/call-{n:07}.wav", 960_000 + n, 1_700_000_000_000_000 + n),
                *(OK if n % 50 else FAILED,),
                duration_s=60.0,
                reason=None if n % 50 else "corrupt",
                message=None if n % 50 else "the header is damaged",
            )
            for n in range(part * count, (part + 1) * count)
        ]
        write_part(output.folder, below, segments, to_table(rows, schemas.files))
    command = [sys.executable, "-m", "jobs.cli", "status", output.out]
    walls_s = []
    for _ in range(LOOKS):
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        walls_s.append(time.perf_counter() - started)
        assert f"{FILES:,}" in done.stdout
    return [
        f"`batch-ser status` of {FILES:,} committed files in {PARTS} parts on a local disk, with "
        f"the start of the program: {np.median(walls_s):.1f} s (median of {LOOKS}; the fastest "
        f"{min(walls_s):.1f} s)."
    ]


SECTIONS = {
    "files": ("Many files", many_files),
    "lines": ("A manifest of a million lines", many_lines),
    "segments": ("Many given segments of one file", many_segments),
    "status": ("Status of many files", status),
}


def main() -> None:
    for name in sys.argv[1:] or SECTIONS:
        title, measure = SECTIONS[name]
        with tempfile.TemporaryDirectory() as folder:
            write_section(title, "python benchmarks/many_files.py", measure(Path(folder)))


if __name__ == "__main__":
    main()
