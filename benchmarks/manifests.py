"""Manifests of a million lines, in every format: time and memory until there is nothing to do.

`python benchmarks/manifests.py [KIND ...]` writes a section of docs/results.md. All files are
missing, so that a job has a failed row for each and no work; the same command again looks at all of
them. Every command runs in a process of its own, so that its peak memory is its own.
"""

import gzip
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from many_files import FEW, LINES, Measured, alone, job
from results import write_section

OPTIONS = {"engine": "inline", "adapt": "none"}
AT_ONCE = 10_000  # rows of a Parquet file that are made at once


def names(count: int) -> Iterator[str]:
    return (f"{n // 1_000:04}/call-{n:07}.wav" for n in range(count))


def text(path: Path, head: str, lines: Iterator[str]) -> None:
    with path.open("w") as file:
        file.write(head)
        file.writelines(lines)


def csv(path: Path, count: int) -> None:
    text(path, "file,agent\n", (f"{name},agent-{n % 50}\n" for n, name in enumerate(names(count))))


def jsonl(path: Path, count: int) -> None:
    text(path, "", _json_lines(count, "file"))


def _json_lines(count: int, column: str) -> Iterator[str]:
    for n, name in enumerate(names(count)):
        yield json.dumps({column: name, "agent": f"agent-{n % 50}"}) + "\n"


def jsonl_gz(path: Path, count: int) -> None:
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.writelines(_json_lines(count, "file"))


def parquet(path: Path, count: int) -> None:
    schema = pa.schema([("file", pa.string()), ("agent", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        listed = list(names(count))
        for start in range(0, count, AT_ONCE):
            files = listed[start : start + AT_ONCE]
            agents = [f"agent-{n % 50}" for n in range(len(files))]
            writer.write_table(pa.table([files, agents], schema=schema))


def audformat(path: Path, count: int) -> None:
    times = "0 days 00:00:00.500000,0 days 00:00:01.500000"
    text(path, "file,start,end,agent\n", (f"{name},{times},a\n" for name in names(count)))


def lhotse(path: Path, count: int) -> None:
    def recording(number: int, name: str) -> dict[str, Any]:
        source = {"type": "file", "channels": [0], "source": name}
        rest = {"sampling_rate": 8_000, "num_samples": 80_000, "duration": 10.0}
        return {"id": f"call-{number}", "sources": [source], **rest, "channel_ids": [0]}

    text(path, "", (f"{json.dumps(recording(n, each))}\n" for n, each in enumerate(names(count))))


def metadata(path: Path, count: int) -> None:
    text(path, "", _json_lines(count, "file_name"))


KINDS: dict[str, tuple[str, str, Callable[[Path, int], None]]] = {
    "csv": ("CSV", "list.csv", csv),
    "jsonl": ("JSONL", "list.jsonl", jsonl),
    "jsonl.gz": ("JSONL, gzipped", "list.jsonl.gz", jsonl_gz),
    "parquet": ("Parquet", "list.parquet", parquet),
    "audformat": ("audformat, CSV with segments", "db.calls.csv", audformat),
    "lhotse": ("Lhotse, recordings", "recordings.jsonl", lhotse),
    "metadata": ("Hugging Face, metadata.jsonl", "metadata.jsonl", metadata),
}


def measured(folder: Path, kind: str, count: int) -> tuple[Measured, Measured]:
    """A job over a manifest, and the same command again."""
    _, name, write = KINDS[kind]
    folder = folder / f"{kind}-{count}"
    folder.mkdir()
    write(folder / name, count)
    out = folder / "out.parquet"
    first, again = (alone(job, folder / name, out, OPTIONS) for _ in range(2))
    assert first.failed == again.failed == count
    return first, again


def row(folder: Path, kind: str) -> str:
    first, again = measured(folder, kind, LINES)
    first_few, again_few = measured(folder, kind, FEW)
    above = first.peak_mb - first_few.peak_mb, again.peak_mb - again_few.peak_mb
    return (
        f"| {KINDS[kind][0]} | {first.cpu_s:.0f} | {above[0]:.0f} | {again.cpu_s:.0f} "
        f"| {above[1]:.0f} |"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        rows = [row(Path(folder), kind) for kind in sys.argv[1:] or KINDS]
    lines = [
        f"| a manifest of {LINES:,} lines, all of missing files, inline | the job, s of a core | "
        "peak above idle, MB | again, nothing to do, s of a core | peak above idle, MB |",
        "|---|---|---|---|---|",
        *rows,
    ]
    write_section("Manifests of every kind", "python benchmarks/manifests.py", lines)


if __name__ == "__main__":
    main()
