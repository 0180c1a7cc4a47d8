"""`batch-ser plan` against real runs: what it says of them, and what they took.

Called by `make bench`, or alone; needs recordings below BATCH_SER_SHARED, and five minutes. Every
plan and every run is in a process of its own. Seconds by the clock depend on what else the machine
does; core-seconds do not.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from composed_calls import compose
from results import SHARED, write_section

from jobs import RunConfig, run
from jobs.plan import Plan, PlanConfig, plan
from models import load_checkpoint
from train.data import read_data

DATA = SHARED / "data"
SAMPLE_S = 20.0  # short, or the sample would be all there is
CALLS = 30
WARM_UP = Path(__file__).parent.parent / "examples" / "calls" / "announcement.opus"


@dataclass(frozen=True)
class Case:
    """A job that is planned and run."""

    name: str
    inputs: Sequence[Path]
    model: str
    options: dict[str, Any] = field(default_factory=dict)

    def config(self, out: Path) -> RunConfig:
        names = tuple(map(str, self.inputs))
        return RunConfig(names, str(out), self.model, engine="inline", **self.options)


@dataclass(frozen=True)
class Truth:
    """What a run took."""

    audio_s: float
    core_s: float  # without loading the checkpoint
    wall_s: float
    segments: int
    results_bytes: int


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def planned(case: Case) -> Plan:
    """A plan for one core."""
    return plan(PlanConfig(case.config(Path("unused.parquet")), cores=1, sample_s=SAMPLE_S))


def done(case: Case, folder: Path) -> Truth:
    """A run in this process, after a short one that warms it up."""
    torch.set_num_threads(1)
    run(RunConfig((str(WARM_UP),), str(folder / "warm.parquet"), case.model, engine="inline"))
    loading = time.process_time()
    load_checkpoint(case.model, "cpu")
    loading_s = time.process_time() - loading
    return _timed(case.config(folder / "results.parquet"), loading_s)


def _timed(config: RunConfig, loading_s: float) -> Truth:
    started, started_core = time.perf_counter(), time.process_time()
    record = run(config).record
    wall_s, core_s = time.perf_counter() - started, time.process_time() - started_core
    sizes = (each.stat().st_size for each in Path(config.out).parent.glob("results.*"))
    counts = record.counts
    return Truth(
        counts.seconds["duration_s"], core_s - loading_s, wall_s, counts.segments, sum(sizes)
    )


def cases(folder: Path) -> list[Case]:
    """Jobs that are unlike: formats, lengths, channels, checkpoints."""
    customers = read_data([f"ravdess:{DATA / 'ravdess'}"])
    prompts = sorted((DATA / "speechocean").rglob("*.opus"))
    compose(folder, customers, prompts, CALLS, seed=0)
    calls = {"roles": "0=agent,1=customer", "score": "customer"}
    mixed = [DATA / name for name in ("turev", "orders", "interviews", "urdu")]
    return [
        Case("RAVDESS, 480 FLAC, 3 to 5 s", [DATA / "ravdess"], "accurate", {"limit": 480}),
        Case("nEMO, 1,500 Opus, 1 to 6 s", [DATA / "nemo"], "fast", {"limit": 1_500}),
        Case(f"{CALLS} composed calls, stereo mu-law WAV", [folder], "accurate"),
        Case("the same, one role scored", [folder], "fast", calls),
        Case("four corpora, Opus and FLAC", mixed, "fast"),
    ]


def row(case: Case, said: Plan, took: Truth) -> str:
    pairs = [
        (said.audio_s.value / 3600, took.audio_s / 3600, ".2f"),
        ((said.core_s.value - said.start_core_s) / 3600, took.core_s / 3600, ".4f"),
        (said.segments.value, took.segments, ".0f"),
        (said.results_bytes.value / 1e6, took.results_bytes / 1e6, ".3f"),
        ((said.wall_s.value - said.start_s) * said.waiting, took.wall_s, ".0f"),
    ]
    cells = [f"{one:{style}}; {two:{style}}; {one / two:.2f}" for one, two, style in pairs]
    share = 100 * said.sample_audio_s / took.audio_s
    return f"| {case.name}, `{case.model}` | {share:.0f} | {' | '.join(cells)} |"


def main() -> None:
    if not DATA.is_dir():
        sys.exit(f"no corpora at {SHARED}: set BATCH_SER_SHARED")
    lines = [
        "| job | scored for the plan, % | hours of audio: planned; true; ratio | core-hours "
        "| segments | size of results, MB | wall time, s |",
        "|---|---|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = cases(folder / "calls")
        for number, case in enumerate(found):
            out = folder / str(number)
            out.mkdir()
            lines.append(row(case, alone(planned, case), alone(done, case, out)))
            print(lines[-1], flush=True)
    lines += [
        "",
        f"`--sample-s {SAMPLE_S:g}`. Core-hours and wall time are without start-up, of one worker "
        "in the calling process. Wall time is planned `as slow as here`: the core-seconds, times "
        "the seconds by the clock for each core-second of the sample, since other programs may use "
        "the machine.",
    ]
    write_section("Plans", "python benchmarks/plan.py", lines)


if __name__ == "__main__":
    main()
