"""The driver: walk, plan, execute, commit, finalise. It alone writes."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from batch_ser import __version__
from batch_ser.inputs import InputFile
from batch_ser.results import TABLES, Winner, committed_parts, finalise, winners, write_json
from jobs.commit import Committer
from jobs.heartbeat import Heartbeat
from jobs.job import Job, RunConfig, check_fingerprint, prepare
from jobs.progress import Progress
from jobs.report import RunReport
from jobs.sharding import Shard, plan
from jobs.stop import OrderlyStop
from jobs.worker import ShardResult, failed, score_shard
from models.loading import resolve


def run(config: RunConfig) -> RunReport:
    """Run a job to its end, going on where an earlier call stopped.

    Raises:
        UsageError: the configuration cannot be carried out, or does not fit the output.
        AlreadyRunning: another driver is at work on this output.
        Incomplete: the job stopped before its end.
        Stopped: a signal asked for it.
    """
    job = prepare(config)
    output = job.output
    if config.restart:
        output.check_ours(TABLES if job.settings.schemas.apart else TABLES[:2])
    else:
        check_fingerprint(output, job.fingerprint)
    with OrderlyStop().installed() as stop, Heartbeat(output.work) as heartbeat:
        if config.restart:
            output.remove(keep=heartbeat.path)
        output.publish()  # of a driver that ended while publishing
        if output.run_json.exists():
            check_fingerprint(output, job.fingerprint)  # of what stands there now
        if not output.run_json.exists():
            write_json(output.settings_json, job.fingerprint)
        return _drive(job, heartbeat, stop)


def _drive(job: Job, heartbeat: Heartbeat, stop: OrderlyStop) -> RunReport:
    """Do what is not done yet, and finish the tables if anything was."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    progress = Progress()
    committer = Committer(job.output.work)
    try:
        for result in _results(job, progress, stop):
            committer.add(result)
            progress.done(result)
    finally:
        committer.flush()
        progress.end()
    record = job.output.run_record()
    unpublished = any(not part.is_published for part in committed_parts(job.output))
    if record is None or unpublished:
        heartbeat.check()
        last_run = {
            "started": started,
            "wall_s": progress.wall_s,
            "audio_s": progress.audio_s,
            "stage_s": dict(committer.stage_s),
            "peak_worker_bytes": committer.peak_bytes,
        }
        record = finalise(job.output, job.settings.schemas, _record(job, last_run), job.adapter())
    return RunReport(record, job.config.max_failed)


def _results(job: Job, progress: Progress, stop: OrderlyStop) -> Iterator[ShardResult]:
    """Results of everything that is not done yet: first of what needs no worker."""
    done = winners(committed_parts(job.output))
    unreadable: list[ShardResult] = []

    def todo() -> Iterator[InputFile]:
        for file in progress.listing(_new(job, done)):
            if file.error:
                unreadable.append(failed(file, job.settings.schemas, file.error))
            else:
                yield file

    for result in _execute(job, plan(todo(), job.config.crew_size), stop):
        yield from unreadable
        unreadable.clear()
        yield result
    yield from unreadable


def _new(job: Job, done: dict[str, Winner]) -> Iterator[InputFile]:
    """Inputs without rows for their present version; one that is gone keeps its good rows."""
    for file in islice(job.walk, job.config.limit):
        win = done.get(file.file)
        same = win is not None and win.version == file.version
        asked = win is not None and win.version[2] == file.given_digest  # the same segments of it
        kept = win is not None and asked and file.error is not None and not win.failed
        if (not same and not kept) or (same and _may_be_longer(job, win)):
            yield file


def _may_be_longer(job: Job, win: Winner | None) -> bool:
    """Whether a file failed as too long, and `--max-hours` has been raised since.

    To the digits that its row tells, so that the same limit is never taken for a higher one.
    """
    limit_h = float(f"{job.config.reading.max_hours:g}")
    return win is not None and win.limit_h is not None and limit_h > win.limit_h


def _execute(job: Job, shards: Iterator[Shard], stop: OrderlyStop) -> Iterator[ShardResult]:
    """Run shards on the chosen engine; nothing is started when there are none."""
    first = next(shards, None)
    if first is None:
        return
    config = job.config

    def all_shards() -> Iterator[Shard]:
        yield first
        yield from shards

    if config.engine == "inline":
        for shard in all_shards():
            yield score_shard(shard, job.checkpoint, job.settings)
        return
    from jobs import on_ray

    gpus = config.gpus_per_worker
    if gpus is None:
        gpus = 1 / config.crew_size if job.device == "cuda" else 0.0
    crew = on_ray.Crew(
        workers=config.crew_size,
        model=resolve(config.model),
        device=job.device,
        settings=job.settings,
        file_timeout_s=config.file_timeout_s,
        address=config.address,
        cpus_per_worker=config.cpus_per_worker,
        gpus_per_worker=gpus,
    )
    with on_ray.cluster(crew, stop):
        yield from on_ray.execute(all_shards(), crew, stop)


def _record(job: Job, last_run: dict[str, Any]) -> dict[str, Any]:
    """What `run.json` says besides the counts and the tables' digests."""
    info = job.checkpoint.info
    return {
        "program": f"batch-ser {__version__}",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "configuration": asdict(job.config),
        "fingerprint": job.fingerprint,
        "checkpoint": {
            "name": info.name,
            "sha256": job.checkpoint.digest,
            "licence": info.licence,
            "labels": list(info.labels),
        },
        "listing": {"ignored": job.walk.ignored, "repeated": job.walk.repeated},
        "last_run": last_run,
    }
