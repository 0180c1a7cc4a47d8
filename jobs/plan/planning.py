"""What a run will take, before it begins: its inputs listed, a sample of them scored."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from batch_ser.errors import UsageError
from batch_ser.inputs import Walk
from batch_ser.results import Output
from batch_ser.storage import scratch_folder
from jobs.job import Job, prepare
from jobs.plan.estimates import Estimate
from jobs.plan.sample_costs import FIRST_S, Sample, decode, score
from jobs.plan.sample_tables import table_costs
from jobs.plan.sampling import Drawn, draw
from jobs.plan.start_up import RAY_S, process_s
from jobs.plan.totals import Totals
from jobs.progress import Progress
from jobs.recovery import storage_errors
from jobs.run_config import RunConfig
from jobs.stop import OrderlyStop
from jobs.worker_process import Worker, Workers
from models.loading import resolve

DECODING_SHARE = 1 / 3  # of the time for the sample
SHOWN_EVERY = 1_000  # files listed, between two changes of the line of progress


@dataclass(frozen=True)
class PlanConfig:
    """The options of `batch-ser plan`.

    Raises:
        UsageError: one of them is out of its range.
    """

    run: RunConfig  # of the job that is planned; `out` is not used
    cores: int | None = None  # None: those that this process may use
    price_per_core_hour: float | None = None
    sample_s: float = 90.0  # spent on decoding and scoring a sample

    def __post_init__(self) -> None:
        if self.cores is not None and self.cores < 1:
            raise UsageError(f"--cores {self.cores}: expected 1 or more")
        price = self.price_per_core_hour
        if price is not None and not 0 <= price < math.inf:
            raise UsageError(f"--price-per-core-hour {price:g}: expected 0 or more")
        if not 0 < self.sample_s < math.inf:
            raise UsageError(f"--sample-s {self.sample_s:g}: expected more than 0")

    @property
    def core_count(self) -> int:
        return self.cores or self.run.worker_count


@dataclass(frozen=True)
class Plan:
    """What a run will take; fields are keys of the JSON object, estimates with `low` and `high`."""

    files: int
    listing_failed: Mapping[str, int]  # by reason: cannot be read, known without opening them
    failed: Estimate  # these, and more of the kinds that failed in the sample
    bytes_read: int
    sampled: int  # recordings decoded
    sample_failed: Mapping[str, int]  # of these, by reason
    sample_audio_s: float  # scored
    audio_s: Estimate  # duration of all recordings
    scored_s: Estimate  # in segments, over all channels
    segments: Estimate
    core_s: Estimate
    start_core_s: float  # in it: processes that start
    tables_core_s: Estimate  # in it: one core makes the tables at the end
    gpu_s: Estimate | None  # None: there is no GPU here, or --device cpu
    cores: int
    wall_s: Estimate
    start_s: float  # in it: until the first worker begins
    longest_s: float  # in it, at least: the longest recording, which one core does
    waiting: float  # seconds by the clock for each core-second of the sample
    bytes_written: Estimate
    results_bytes: Estimate
    price_per_core_hour: float | None
    money: Estimate | None  # None: without a price

    def as_json(self) -> dict[str, Any]:
        return {
            name: value.as_json() if isinstance(value, Estimate) else value
            for name, value in vars(self).items()
        }


def plan(config: PlanConfig, progress: Progress | None = None) -> Plan:
    """Estimate what a run will take; nothing is written but in a scratch folder.

    Torch has one thread in this process from then on, as in a worker.

    Raises:
        UsageError: the configuration cannot be carried out, or there are no recordings.
        Incomplete: there is no room for temporary files.
        Stopped: a signal stopped it.
    """
    with progress or Progress() as written, OrderlyStop().installed():
        written.begin("reading the inputs and loading the checkpoint")
        scratch = Scratch()
        out = str(scratch.folder / "results.parquet")
        with storage_errors(Output(out)):
            job = prepare(replace(config.run, out=out))
            drawn = _listed(job.walk, config.run.limit, written)
            sample = _sampled(drawn, _worker(job), config.sample_s, written)
            written.begin("writing the tables of the sample")
            tables = table_costs(job, sample.results, scratch.folder)
        start_s = process_s(resolve(config.run.model), job.device)
        return _plan(config, job, Totals(drawn, sample, tables), start_s)


class Scratch:
    """A folder that goes with this object."""

    def __init__(self) -> None:
        self.folder: Path = scratch_folder(self)


def _listed(walk: Walk, limit: int | None, progress: Progress) -> Drawn:
    """All inputs, counted, and a sample of them.

    Raises:
        UsageError: there is none.
    """
    drawn = Drawn()
    for drawn in draw(islice(walk, limit)):
        if drawn.files % SHOWN_EVERY == 1:
            progress.begin(f"listing: {drawn.files:,} files found")
    if not drawn.files:
        raise UsageError(f"INPUT: {walk.nothing_found()}")
    return drawn


def _worker(job: Job) -> Worker:
    config = job.config
    # a given segment may be anywhere in a recording
    first_s = math.inf if job.walk.has_given_segments else FIRST_S
    settings = replace(job.settings, first_s=first_s)
    model = resolve(config.model)
    worker = Worker(Workers(1, model, job.device, settings, config.file_timeout_s))
    worker.load()
    return worker


def _sampled(drawn: Drawn, worker: Worker, sample_s: float, progress: Progress) -> Sample:
    sample, settings = Sample(), worker.settings
    started = time.monotonic()

    def after(limit_s: float) -> bool:
        return time.monotonic() - started >= limit_s

    for files in decode(drawn, settings, lambda: after(sample_s * DECODING_SHARE), sample):
        progress.begin(f"decoding a sample: {files:,} recordings")
    for audio_s in score(drawn, worker, settings.first_s, lambda: after(sample_s), sample):
        progress.begin(f"scoring a sample: {audio_s / 60:.0f} min")
    return sample


def _plan(config: PlanConfig, job: Job, totals: Totals, start_s: float) -> Plan:
    drawn, sample, cores = totals.drawn, totals.sample, config.core_count
    scoring, segments = totals.of("core_s"), totals.of("segments")
    tables_core_s = (segments + Estimate(drawn.files)) * totals.tables.row_core_s
    # the driver starts before its workers, which start side by side
    start_core_s = start_s * (cores + 1) + sample.warm_up_s * cores
    start_wall_s = 2 * start_s + RAY_S + sample.warm_up_s
    longest_s, work = totals.longest_core_s(), scoring * (1 / cores)
    work = Estimate(max(work.value, longest_s), work.error)
    wall_s = Estimate(start_wall_s) + work + tables_core_s
    results_bytes = totals.results_bytes()
    written_bytes = results_bytes * (1 + totals.tables.parts_share) + Estimate(drawn.copied_bytes)
    price = config.price_per_core_hour
    return Plan(
        files=drawn.files,
        listing_failed=drawn.failed,
        failed=totals.failed(),
        bytes_read=drawn.size_bytes,
        sampled=sample.files,
        sample_failed=sample.reasons,
        sample_audio_s=sum(each.audio_s for each in sample.shards),
        audio_s=totals.audio_s(),
        scored_s=totals.of("scored_s"),
        segments=segments,
        core_s=scoring + tables_core_s + Estimate(start_core_s),
        start_core_s=start_core_s,
        tables_core_s=tables_core_s,
        gpu_s=totals.of("model_s") if job.device == "cuda" else None,
        cores=cores,
        wall_s=wall_s,
        start_s=start_wall_s,
        longest_s=longest_s,
        waiting=sample.waiting,
        bytes_written=written_bytes,
        results_bytes=results_bytes,
        price_per_core_hour=price,
        money=None if price is None else wall_s * (cores * price / 3600),
    )
