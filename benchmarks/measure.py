"""Figures that depend on the machine: `make bench` writes them to docs/results.md.

They need the corpora below BATCH_SER_SHARED and take some minutes.
"""

import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
from results import SHARED, write_section

PROGRAM = Path(sys.executable).with_name("batch-ser")
KILL_AFTER_S = 20.0  # after the first commit: about half way


def job(out: Path, *options: object) -> dict[str, object]:
    """Run a job to its end; its record, with the whole command's seconds."""
    started = time.perf_counter()
    command = [PROGRAM, "run", "--out", out, "--json", *options]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, check=False)
    record: dict[str, object] = json.loads(done.stdout)
    return record | {"command_s": time.perf_counter() - started, "status": done.returncode}


def row(name: str, record: dict[str, object]) -> str:
    counts, last = record["counts"], record["last_run"]
    assert isinstance(counts, dict)
    assert isinstance(last, dict)
    hours = counts["seconds"]["duration_s"] / 3600
    return (
        f"| {name} | {counts['files_in']:,} | {counts['segments']:,} | {hours:.2f} "
        f"| {record['command_s']:.0f} | {last['audio_s'] / last['wall_s']:.0f} "
        f"| {last['peak_worker_bytes'] / 1e6:.0f} | {record['status']} |"
    )


def jobs(folder: Path) -> tuple[list[str], Path]:
    """The two jobs over real recordings, on Ray with a worker per core."""
    data = SHARED / "data"
    calm = folder / "ravdess.parquet"
    whole = job(calm, "--input", data / "ravdess", "--segment", "whole")
    three = job(folder / "three.parquet", "--input", data)
    head = [
        "| job | files | segments | hours | whole command, s | x real time | worker's peak, MB "
        "| exit status |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = [row("RAVDESS, whole recordings", whole), row("three corpora, speech", three)]
    stages = three["last_run"]["stage_s"]  # type: ignore[index]
    by_stage = ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in stages.items())
    return [
        *head,
        *rows,
        "",
        f"Three corpora, seconds per stage, summed over workers: {by_stage}.",
    ], calm


def killed(folder: Path, calm: Path) -> str:
    """SIGKILL in the middle of the RAVDESS job, then the same command: the same tables."""
    out = folder / "killed.parquet"
    options = ["--input", SHARED / "data" / "ravdess", "--segment", "whole"]
    command = [PROGRAM, "run", "--out", out, *options]
    driver = subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL)
    work = folder / "killed.work"
    while not list(work.glob("parts-*/*.files.parquet")):
        assert driver.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    time.sleep(KILL_AFTER_S)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    kept = sum(len(pd.read_parquet(path)) for path in work.glob("parts-*/*.files.parquet"))
    job(out, *options)
    same = all(
        pd.read_parquet(out.with_suffix(ending)).equals(pd.read_parquet(calm.with_suffix(ending)))
        or close(out.with_suffix(ending), calm.with_suffix(ending))
        for ending in (".parquet", ".files.parquet")
    )
    verdict = "equal those of a calm run" if same else "DIFFER from those of a calm run"
    return (
        f"RAVDESS job killed with SIGKILL {KILL_AFTER_S:g} s after its first commit, with {kept:,} "
        f"of 1,440 files committed (commits come every 30 s); after the same command the tables "
        f"{verdict} (probabilities within 1e-4, all else exact)."
    )


def close(left: Path, right: Path) -> bool:
    one, other = pd.read_parquet(left), pd.read_parquet(right)
    scores = [name for name in one.columns if one[name].dtype == "float32"]
    rest = one.columns.difference(scores)
    return bool(
        one[rest].equals(other[rest]) and (one[scores] - other[scores]).abs().max().max() < 1e-4
    )


def help_time() -> str:
    """`--help` beside a bare interpreter, alternately, in one run."""
    commands = {"help": [PROGRAM, "--help"], "bare": [sys.executable, "-c", "pass"]}
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(15):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(list(map(str, command)), stdout=subprocess.DEVNULL, check=True)
            seconds[name].append(time.perf_counter() - started)
    shown, bare = (statistics.median(seconds[name]) for name in ("help", "bare"))
    return (
        f"`batch-ser --help`: {shown:.2f} s, {shown / bare:.0f} times a Python that does nothing "
        f"({bare:.3f} s); medians of 15."
    )


def main() -> None:
    if not (SHARED / "data").is_dir():
        sys.exit(f"no corpora at {SHARED}: set BATCH_SER_SHARED")
    write_section("Start", "make bench", [help_time()])
    with tempfile.TemporaryDirectory() as folder:
        lines, calm = jobs(Path(folder))
        write_section("Jobs over real recordings", "make bench", lines)
        write_section("A killed job", "make bench", [killed(Path(folder), calm)])


if __name__ == "__main__":
    main()
