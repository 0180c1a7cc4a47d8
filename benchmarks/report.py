"""The HTML report of 10,000 calls: seconds to make it, its size, and seconds until it can be used.

`python benchmarks/report.py [CALLS ...]` writes a section of docs/results.md. Calls are drawn, not
recorded: two parties that speak in turn for six minutes on average, in four queues over 60 days. A
browser opens the file five times, each in a new process; "usable" is when its script has run to its
end and the first calls are in the table.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from results import write_section
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from batch_ser.results import Output, RunRecord, TableSchemas, file_row
from batch_ser.results.counts import Counts
from batch_ser.results.json_files import write_json
from batch_ser.results.run_record import CheckpointRecord, LastRun, Listing
from batch_ser.storage import describe_files
from jobs.calls import make_calls
from jobs.html_report import ReportOptions, make_report

CALLS = 10_000
OPENED = 5
TURNS = (10, 90)
LABELS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
USUAL = np.array([30, 6, 2, 2, 1, 0.6, 0.6, 1.0])  # of a Dirichlet distribution
ANGRY = np.array([6, 1, 1, 2, 8, 1, 1, 1.0])
QUEUES = ("billing", "sales", "support", "returns")
FIRST = date(2026, 9, 1)
DAYS = 60
ROLES = ("agent", "customer")
AT_ONCE = 500  # calls
CHROMIUM, DRIVER = "/usr/bin/chromium", "/usr/bin/chromedriver"
ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
USABLE = """
    const [entry] = performance.getEntriesByType("navigation");
    return [entry.domComplete, document.documentElement.dataset.ready,
            document.querySelectorAll("table.calls tbody tr").length];
"""


def draw_output(out: Path, calls: int, seed: int = 0) -> None:
    """Write a complete output of drawn calls, in single files."""
    draw = np.random.default_rng(seed)
    metadata = {"labels": '["' + '","'.join(LABELS) + '"]', "program": "drawn", "licence": "none"}
    schemas = TableSchemas(LABELS, ("day", "queue", "agent_id"), metadata, detects=True)
    output, counts = Output(str(out)), Counts()
    names = ("segments", "files", "speech")
    paths = [out.parent / output.table(name) for name in names]
    writers = [
        pq.ParquetWriter(path, getattr(schemas, name))
        for name, path in zip(names, paths, strict=True)
    ]
    for first in range(0, calls, AT_ONCE):
        drawn = [_call(number, draw) for number in range(first, min(first + AT_ONCE, calls))]
        for at, (name, writer) in enumerate(zip(names, writers, strict=True)):
            rows = [row for call in drawn for row in call[at]]
            table = pa.Table.from_pylist(rows, schema=getattr(schemas, name))
            writer.write_table(table)
            if name == "files":
                counts.add_files(table)
            elif name == "segments":
                counts.add_segments(table)
    for writer in writers:
        writer.close()
    record = RunRecord(
        program="batch-ser benchmark",
        finished="2026-11-29T00:00:00+00:00",
        configuration={"model": "accurate"},
        fingerprint={"channels": "split", "roles": "0=agent,1=customer", "expect": "natural"},
        checkpoint=CheckpointRecord("drawn", "0", "none", list(LABELS)),
        listing=Listing(0, 0),
        last_run=LastRun("", 0.0, 0.0, {}, 0),
        counts=counts,
        tables=describe_files(paths, out.parent),
    )
    write_json(output.folder, output.run_json, record.as_json())


def _call(number: int, draw: np.random.Generator) -> tuple[list[dict[str, Any]], ...]:
    """The rows of a call in the tables of segments, files and speech."""
    day = FIRST + timedelta(int(draw.integers(DAYS)))
    name = f"{day}/queue-{QUEUES[number % 4]}/call-{number:06}.wav"
    name = f"{number:06}-{name}"  # rows are in the order of names
    columns = {"day": str(day), "queue": QUEUES[number % 4], "agent_id": f"a{number % 37:02}"}
    change = draw.integers(3, 60) if draw.random() < 0.15 else 10**6  # some turn angry
    segments: list[list[dict[str, Any]]] = [[], []]
    at = float(draw.uniform(0.2, 4))
    for turn in range(int(draw.integers(*TURNS))):
        channel, long = turn % 2, float(draw.gamma(4, 1.4) + 0.6)
        weights = ANGRY if channel and turn >= change else USUAL
        p = draw.dirichlet(weights)
        row = {"file": name, "channel": channel, "segment": len(segments[channel])}
        row |= {"start_s": round(at, 2), "end_s": round(at + long, 2), "role": ROLES[channel]}
        row |= {"emotion": LABELS[p.argmax()], "confidence": p.max(), "crosstalk": False}
        segments[channel].append(row | dict(zip(_P, p.tolist(), strict=True)) | columns)
        at += long + float(draw.exponential(0.9) - (0.8 if draw.random() < 0.15 else 0))
        at += 6.0 if draw.random() < 0.03 else 0
    rows = segments[0] + segments[1]
    regions = [{key: row[key] for key in _REGION} for row in rows]
    talk = [sum(row["end_s"] - row["start_s"] for row in each) for each in segments]
    seconds = {"decoded_s": 2 * at, "scored_s": sum(talk), "not_speech_s": 2 * at - sum(talk)}
    seconds |= {"too_short_s": 0.0, "not_asked_s": 0.0, "duration_s": at}
    further = seconds | {"channels": 2, "speech_s": talk, "segments": len(rows)}
    return rows, [file_row(name, 1, 1, "ok", **further)], regions


_P = [f"p_{label}" for label in LABELS]
_REGION = ("file", "channel", "role", "start_s", "end_s", "crosstalk")


def seconds_until_usable(page: Path) -> Iterator[float]:
    """Of each time that the page is opened in a new browser."""
    for _ in range(OPENED):
        with tempfile.TemporaryDirectory() as profile:
            options = webdriver.ChromeOptions()
            options.binary_location = CHROMIUM
            for argument in (*ARGUMENTS, f"--user-data-dir={profile}"):
                options.add_argument(argument)
            driver = webdriver.Chrome(options, Service(DRIVER))
            try:
                driver.get(page.as_uri())
                milliseconds, ready, rows = driver.execute_script(USABLE)
                assert ready == "yes", "its script did not run to its end"
                assert rows == 25
                yield milliseconds / 1_000
            finally:
                driver.quit()


def main() -> None:
    lines = [
        "| calls | to make the tables of calls, s | the report, s | its size, MB | calls on the "
        "page | until usable, s: median, most |",
        "|---|---|---|---|---|---|",
    ]
    for calls in map(int, sys.argv[1:] or (CALLS,)):
        with tempfile.TemporaryDirectory() as folder:
            out, page = Path(folder) / "calls.parquet", Path(folder) / "report.html"
            draw_output(out, calls)
            began = time.perf_counter()
            make_calls(str(out), ["queue"])
            tables_s = time.perf_counter() - began
            report = make_report(str(out), ReportOptions(str(page)))
            report_s = time.perf_counter() - began - tables_s
            usable = list(seconds_until_usable(page))
        lines.append(
            f"| {calls:,} | {tables_s:.0f} | {report_s:.0f} | {report.size_bytes / 1e6:.1f} | "
            f"{report.calls:,} | {median(usable):.2f}, {max(usable):.2f} |"
        )
    write_section("HTML report", "python benchmarks/report.py", lines)


if __name__ == "__main__":
    main()
