"""The load test of `batch-ser serve`: latencies and requests a second by callers, on loopback.

`OMP_NUM_THREADS=1 python benchmarks/serve.py` writes the section "Serve" of docs/results.md, in
three minutes.

A server of each checkpoint scores clips of 1 to 8 s of a real recording, from 1, 8 and 32 callers
at once, for some seconds each; the first second is not counted. Beside it a naive loop: one caller
of `predict`'s own steps in one process, file after file, without HTTP, so that its p50 and p99 are
of one request that waits for no other; and such a loop on every core, which is what the machine
can do at most without batches.
"""

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import httpx
import numpy as np
import soundfile
from results import write_section

from batch_ser.audio.recording import load
from batch_ser.inputs import InputFile
from jobs.predict import PredictConfig, Predictor
from models import load_checkpoint

RECORDING = Path(__file__).parent.parent / "examples" / "calls" / "announcement.opus"
CALLERS = (1, 8, 32)
LENGTHS_S = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)
WARM_UP_S = 1.0
RATE_HZ = 16_000


def clips(folder: Path) -> list[Path]:
    """Clips of real speech, WAV."""
    speech = load(str(RECORDING), RATE_HZ)[round(1.5 * RATE_HZ) :]
    paths = []
    for number, length_s in enumerate(LENGTHS_S):
        path = folder / f"clip{number}.wav"
        start = number * 2 * RATE_HZ
        soundfile.write(path, speech[start : start + round(length_s * RATE_HZ)], RATE_HZ)
        paths.append(path)
    return paths


@contextmanager
def server(model: str) -> Iterator[str]:
    """The address of a server, as a process."""
    command = [sys.executable, "-c", "from jobs.cli import app; app()", "serve", "--no-page"]
    process = subprocess.Popen(
        [*command, "--model", model, "--port", "0"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        found = next(filter(None, (re.search(r"http://\S+", line) for line in process.stderr)))
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def served(address: str, paths: list[Path], callers: int, seconds: float) -> list[float]:
    """The latencies of all requests that begin and end within the time, in seconds."""
    bodies = [(path.name, path.read_bytes()) for path in paths]
    begin, found = time.perf_counter() + WARM_UP_S, []

    def call(number: int) -> None:
        with httpx.Client(base_url=address, timeout=60) as client:
            for body in cycle(bodies[number % len(bodies) :] + bodies[: number % len(bodies)]):
                started = time.perf_counter()
                if started > begin + seconds:
                    return
                client.post("/predict", files={"file": body}).raise_for_status()
                if started > begin:
                    found.append(time.perf_counter() - started)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(callers)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return found


def loops(model: str, paths: list[Path], seconds: float) -> list[float]:
    """The latencies of a loop on each core, which begin together."""
    count = os.cpu_count() or 1
    context = multiprocessing.get_context("spawn")
    with (
        context.Manager() as manager,
        ProcessPoolExecutor(count, mp_context=context) as pool,
    ):
        ready = manager.Barrier(count).wait
        calls = [pool.submit(naive, model, paths, seconds, ready) for _ in range(count)]
        return [latency for each in calls for latency in each.result()]


def naive(
    model: str, paths: list[Path], seconds: float, ready: Callable[[], object] = int
) -> list[float]:
    """The latencies of a loop in this process."""
    predictor = Predictor(load_checkpoint(model), PredictConfig(model, with_segments=True))
    for path in paths:
        predictor.prediction(InputFile(path.name, str(path)))
    ready()
    begin, found = time.perf_counter(), []
    for path in cycle(paths):
        started = time.perf_counter()
        if started > begin + seconds:
            return found
        predictor.prediction(InputFile(path.name, str(path)))
        found.append(time.perf_counter() - started)
    return found


def row(model: str, what: str, latencies: list[float], seconds: float) -> str:
    p50, p99 = np.percentile(latencies, (50, 99))
    speed = len(latencies) / seconds
    return f"| {model} | {what} | {1000 * p50:.0f} | {1000 * p99:.0f} | {speed:.1f} |"


def measured(paths: list[Path], models: list[str], seconds: float) -> Iterator[str]:
    """The rows of the table."""
    for model in models:
        yield row(model, "naive loop", naive(model, paths, seconds), seconds)
        yield row(model, "a loop on each core", loops(model, paths, seconds), seconds)
        with server(model) as address:
            for callers in CALLERS:
                yield row(model, str(callers), served(address, paths, callers, seconds), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--models", default="fast,accurate")
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    lines = [
        f"Clips of {LENGTHS_S[0]:g} to {LENGTHS_S[-1]:g} s, {options.seconds:g} s for each line; "
        f"load before {load_before:.1f}. Callers run on the same cores; all have one thread a "
        "process.",
        "",
        "| checkpoint | callers | p50 ms | p99 ms | requests a second |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as folder:
        lines += measured(clips(Path(folder)), options.models.split(","), options.seconds)
    write_section("Serve", "OMP_NUM_THREADS=1 python benchmarks/serve.py", lines)


if __name__ == "__main__":
    main()
