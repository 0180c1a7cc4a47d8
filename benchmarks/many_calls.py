"""`batch-ser calls` over very many calls: time and memory.

`python benchmarks/many_calls.py [NUMBER ...]` writes a section of docs/results.md. An example call
is scored, and its rows are repeated under other names; `calls` runs in a process of its own.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from many_files import Measured, alone, peak_mb
from results import write_section

from batch_ser.results import TABLES, Output
from batch_ser.storage import describe_files
from jobs import RunConfig, run
from jobs.calls import make_calls

NUMBERS = (5_000, 20_000)  # a million take an hour
CALL = Path(__file__).parent.parent / "examples" / "calls" / "support-ulaw.wav"
AT_ONCE = 1_000  # calls, whose rows are written together
NAME = "{:03}/call-{:07}.wav"


def scored(folder: Path) -> Output:
    """The output of a job over the example call."""
    out = folder / "one.parquet"
    run(RunConfig((str(CALL),), str(out), "fast", engine="inline", roles="0=agent,1=customer"))
    return Output(str(out))


def repeated(one: Output, folder: Path, count: int) -> Output:
    """An output with the rows of one call for each of `count`."""
    many = Output(str(folder / f"{count}.parquet"))
    paths = []
    for name in TABLES:
        rows = pq.read_table(one.folder.place(one.table(name)))
        paths.append(Path(many.folder.place(many.table(name))))
        with pq.ParquetWriter(paths[-1], rows.schema, compression="zstd") as writer:
            for start in range(0, count, AT_ONCE):
                part = range(start, min(start + AT_ONCE, count))
                writer.write_table(pa.concat_tables([_named(rows, each) for each in part]))
    record = json.loads(Path(one.folder.place(one.run_json)).read_text())
    record["tables"] = describe_files(paths, folder)
    Path(many.folder.place(many.run_json)).write_text(json.dumps(record))
    return many


def _named(rows: pa.Table, number: int) -> pa.Table:
    name = NAME.format(number // 1_000, number)
    field = rows.schema.field("file")
    column = pa.array([name] * len(rows)).cast(field.type)
    return rows.set_column(rows.schema.get_field_index("file"), field, column)


def made(out: str) -> Measured:
    """`calls`, in a process that has imported everything."""
    started, cpu_s = time.perf_counter(), time.process_time()
    make_calls(out)
    return Measured(time.perf_counter() - started, peak_mb(), time.process_time() - cpu_s)


def main() -> None:
    numbers = [int(each) for each in sys.argv[1:]] or NUMBERS
    lines = ["| calls | s of a core | ms a call | peak, MB |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one = scored(folder)
        (file,) = pq.read_table(one.folder.place(one.table("files"))).to_pylist()
        for count in numbers:
            found = alone(made, repeated(one, folder, count).out)
            each_ms = 1e3 * found.cpu_s / count
            lines.append(f"| {count:,} | {found.cpu_s:.0f} | {each_ms:.2f} | {found.peak_mb:.0f} |")
    said = f"A call of {file['duration_s']:.0f} s with {file['segments']} segments, repeated."
    write_section("Many calls", "python benchmarks/many_calls.py", [said, "", *lines])


if __name__ == "__main__":
    main()
