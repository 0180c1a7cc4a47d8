"""Archives as they are: broken files among good ones, and a recording of a whole day.

Called by `make bench`. The first needs recordings of RAVDESS; decoders that crash or hang are
simulated, as no file is known that makes one do so.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import soundfile
from results import SHARED, write_section

from batch_ser.audio import load
from jobs import RunConfig, RunReport, disposable, on_ray, run
from jobs.sharding import Shard
from jobs.worker import ShardResult
from jobs.worker_process import Worker

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from broken import broken
from faults import FAULTS

GOOD = 200
RATE_HZ = 16_000
LENGTHS_H = {"ten minutes": 1 / 6, "24 hours": 24.0}
SPEECH = Path(__file__).parent.parent / "examples" / "calls" / "announcement.opus"
TIMEOUT_S = 20.0
MODEL = "fast"


def wild_worker() -> type[Worker]:
    """A worker whose decoder crashes at one file and never returns from another."""

    decoder = FAULTS  # of the child processes, which workers import no tests for

    class Wild(Worker):
        def load(self) -> None:
            disposable.CHILD = decoder
            super().load()

        def score(self, shard: Shard, stored: Mapping[str, pa.Table]) -> Iterator[ShardResult]:
            for file in shard:
                if "crashes" in file.file:
                    os.abort()
                if "hangs" in file.file:
                    time.sleep(3600)
            yield from super().score(shard, stored)

    return Wild


def job(folder: Path, out: Path, **more: Any) -> RunReport:
    return run(RunConfig((str(folder),), str(out), MODEL, file_timeout_s=TIMEOUT_S, **more))


def hostile(folder: Path) -> list[str]:
    """All broken files, a crash and a hang among 200 recordings, beside these alone."""
    good, both = folder / "good", folder / "both"
    good.mkdir()
    for path in sorted((SHARED / "data" / "ravdess").rglob("*.flac"))[:: 1440 // GOOD][:GOOD]:
        shutil.copy(path, good)
    shutil.copytree(good, both)
    (folder / "scratch").mkdir()
    bad = broken(load(str(SPEECH), RATE_HZ)[30_000:62_000], folder / "scratch")
    for each in bad:
        each.write(both)
    for name in ("crashes.flac", "hangs.flac"):
        shutil.copy(next(good.iterdir()), both / name)
    on_ray.Worker = wild_worker()  # type: ignore[misc]
    try:
        reports = {each: job(each, each.with_suffix(".parquet")) for each in (good, both)}
    finally:
        on_ray.Worker = Worker  # type: ignore[misc]
    record = reports[both].record
    counts, last = record.counts, record.last_run
    alone, among = (pd.read_parquet(each.with_suffix(".parquet")) for each in (good, both))
    among = among[among["file"].isin(alone["file"])].reset_index(drop=True)
    scores = [name for name in alone.columns if name.startswith(("p_", "confidence"))]
    same = among.drop(columns=scores).equals(alone.drop(columns=scores))
    apart = float((among[scores] - alone[scores]).abs().max().max())
    reasons = ", ".join(f"{name} {number}" for name, number in sorted(counts.reasons.items()))
    return [
        f"{GOOD} recordings of RAVDESS with {len(bad)} broken files, one whose decoder crashes and "
        f"one whose decoder hangs (--file-timeout {TIMEOUT_S:g}), on Ray, {last.wall_s:.0f} s; "
        f"the {GOOD} alone {reports[good].record.last_run.wall_s:.0f} s. Exit status "
        f"{reports[both].exit_code}. Rows of the good files: "
        f"{'the same' if same else 'OTHERS'}, probabilities at most {apart:.1e} apart. Failed: "
        f"{reasons}; {counts.files['ok'] - GOOD} of the broken ones are read as far as they go, "
        f"{counts.files['empty']} are empty."
    ]


def write_long(path: Path, hours: float) -> None:
    """Speech with pauses, over and over; in parts, as the encoder would hold all of it."""
    speech = load(str(SPEECH), RATE_HZ)
    container, subtype = {".opus": ("OGG", "OPUS"), ".flac": ("FLAC", "PCM_16")}[path.suffix]
    left = round(hours * 3600 * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1, subtype, format=container) as file:
        while left > 0:
            for part in np.array_split(speech[:left], 30):
                file.write(part)
            left -= len(speech)


def a_day(folder: Path) -> list[str]:
    """A worker's peak memory on a recording of a day beside one of ten minutes."""
    rows = [
        f"| one recording, `--model {MODEL}`, one worker | MB | segments | s | peak, MB |",
        "|---|---|---|---|---|",
    ]
    for ending in (".flac", ".opus"):
        peaks = {}
        for name, hours in LENGTHS_H.items():
            path = folder / f"{name}{ending}"
            write_long(path, hours)
            options = {"workers": 1, "file_timeout_s": 7200.0}
            out = str(folder / f"{name}{ending}.parquet")
            record = run(RunConfig((str(path),), out, MODEL, **options)).record  # type: ignore[arg-type]
            assert record.counts.files["ok"] == 1, record.counts
            last = record.last_run
            peaks[name] = last.peak_worker_bytes / 1e6
            rows.append(
                f"| {name}, {ending[1:]} | {path.stat().st_size / 1e6:.0f} "
                f"| {record.counts.segments:,} | {last.wall_s:.0f} | {peaks[name]:.0f} |"
            )
            path.unlink()
        short, long = peaks.values()
        rows.append(f"| {ending[1:]}: a day's more than ten minutes' | | | | {long - short:.0f} |")
    return rows


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if (SHARED / "data").is_dir():
            write_section("Broken files among good ones", "make bench", hostile(Path(folder)))
        write_section("A day in one recording", "make bench", a_day(Path(folder)))


if __name__ == "__main__":
    main()
