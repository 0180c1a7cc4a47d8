"""The driver: walk, plan, execute, commit, finalise. It alone writes."""

from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice

from batch_ser import __version__
from batch_ser.archives import OpenArchives, split_member
from batch_ser.errors import MismatchError
from batch_ser.inputs import InputFile
from batch_ser.results import (
    CheckpointRecord,
    CommittedFile,
    CommittedParts,
    LastRun,
    Listing,
    Output,
    RunRecord,
    finalise,
    new_parts,
    recover,
    remove,
)
from jobs.alarm_sums import AlarmSums
from jobs.commit import Committer
from jobs.failed_again import FailedAgain
from jobs.figures import MAKING_TABLES
from jobs.fingerprint import check_fingerprint
from jobs.heartbeat import Heartbeat
from jobs.job import Job, prepare
from jobs.progress import Progress
from jobs.recovery import recover_output, storage_errors
from jobs.report import RunReport, failed_files, stale_notes
from jobs.run_config import RunConfig
from jobs.sharding import Shard, plan
from jobs.stop import OrderlyStop
from jobs.tasks import PartialRows
from jobs.worker import ShardResult, score_shard
from jobs.worker_process import Program, Workers
from models.device import gpu_share
from models.loading import is_shipped, resolve


def run(
    config: RunConfig, progress: Progress | None = None, again: FailedAgain | None = None
) -> RunReport:
    """Run a job to its end, going on where an earlier call stopped.

    `progress` is that of a caller that has begun to write it; `again` chooses failed files, which
    then are all that is done.

    Raises:
        UsageError: the configuration cannot be carried out, or does not fit the output.
        AlreadyRunning: another driver is at work on this output.
        Incomplete: the job stopped before its end.
        Stopped: a signal stopped it.
    """
    with progress or Progress() as written:
        return _run(config, written, again)


def _run(config: RunConfig, progress: Progress, again: FailedAgain | None) -> RunReport:
    progress.begin("reading the inputs and loading the checkpoint")
    with suppress(MismatchError) if config.restart else nullcontext():  # it is removed, whatever
        recover_output(Output(config.out))
    with storage_errors(Output(config.out)):
        job = replace(prepare(config), again=again)
        if not config.allow_empty and not again:
            job.walk.check_any()
    with storage_errors(job.output), OrderlyStop().installed() as stop:
        _check_output(job)
        with Heartbeat(job.output, progress.figures) as heartbeat:
            _begin(job)
            return _drive(job, progress, heartbeat, stop)


def _check_output(job: Job) -> None:
    if job.config.restart:
        job.output.check_ours(job.settings.schemas.tables)
    else:
        check_fingerprint(job.output, job.fingerprint, job.settings.schemas.tables)


def _begin(job: Job) -> None:
    """Once no other driver is at work: clear what one left, and note the settings."""
    output = job.output
    if job.config.restart:
        remove(output)
    recover(output)
    if output.complete_record():
        # of what has been published just now
        check_fingerprint(output, job.fingerprint, job.settings.schemas.tables)
    elif not output.settings():
        new_parts(output, job.fingerprint)


def _drive(job: Job, progress: Progress, heartbeat: Heartbeat, stop: OrderlyStop) -> RunReport:
    """Do what is not done yet, and make the final tables if anything was."""
    started = _now()
    committed = CommittedParts.of(job.output)
    progress.begin_work()
    committer = Committer(committed, heartbeat.check)
    try:
        for result in _results(job, committed, committer, progress, stop):
            committer.add(result)
            progress.done(result)
    finally:
        committer.flush()
    record = job.output.run_record()
    if record is None or not committed.all_published:
        progress.begin(MAKING_TABLES)
        last_run = LastRun(
            started=started,
            wall_s=progress.wall_s,
            audio_s=progress.audio_s,
            stage_s=dict(committer.stage_s),
            peak_worker_bytes=committer.peak_bytes,
        )
        record = finalise(
            job.output,
            committed,
            job.schemas,
            record_of(job, last_run, committed),
            job.second_pass,
            heartbeat.check,
            AlarmSums(job.checkpoint, job.schemas, job.adaptation),
        )
    return RunReport(
        record, job.config.max_failed, failed_files(job.output), stale_notes(job.output)
    )


def _results(
    job: Job,
    committed: CommittedParts,
    committer: Committer,
    progress: Progress,
    stop: OrderlyStop,
) -> Iterator[ShardResult]:
    """Results of all inputs that need work; of those that cannot be read a row that says why."""
    count = job.config.fixed_worker_count
    progress.begin(f"starting {count} workers" if count else "starting workers on the cluster")
    files = progress.listing(_inputs_to_do(job, committed))
    shards = plan(files, job.config.worker_count)
    yield from _execute(job, shards, committer.partial_rows, stop, progress)


def _inputs_to_do(job: Job, committed: CommittedParts) -> Iterator[InputFile]:
    max_hours = job.config.reading.max_hours
    for file in islice(job.walk, job.config.limit):
        previous = committed.files.get(file.file)
        if job.again:
            if previous is None and file.member:  # its archive failed, if any
                previous = committed.files.get(split_member(file.file)[0])
            needed = job.again.chooses(file, previous)
        else:
            needed = needs_work(file, previous, max_hours=max_hours)
        if needed:
            yield file
    for name in job.walk.whole_archives & committed.files.keys():
        row = committed.files[name]  # it could not be listed in an earlier call
        if row.failed and (job.again is None or job.again.names(row.reason)):
            committed.drop(name)


def needs_work(file: InputFile, previous: CommittedFile | None, *, max_hours: float) -> bool:
    """Whether an input has to be done (again), given its row in the output, if it has one.

    The same version of a file is done again only if it was too long, and the limit is higher now.
    Another version is done, unless it is missing now: then the good rows for the same given
    segments stay.
    """
    if previous is None:
        return True
    if previous.version == file.version:
        return previous.exceeded_h is not None and max_hours > previous.exceeded_h
    rows_stay = not previous.failed and previous.given_digest == file.given_digest
    return not (file.error and rows_stay)


def _execute(
    job: Job,
    shards: Iterator[Shard],
    partial_rows: PartialRows,
    stop: OrderlyStop,
    progress: Progress,
) -> Iterator[ShardResult]:
    """Run shards on the chosen engine; nothing is started when there are none."""
    first = next(shards, None)
    if first is None:
        return
    shards = chain([first], shards)
    if job.config.engine == "ray":
        from jobs import on_ray, ray_cluster, ray_metrics

        workers = workers_of(job)
        with ray_cluster.cluster(workers, stop) as nodes:
            results = on_ray.execute(shards, workers, stop, partial_rows, nodes, progress.note)
            yield from ray_metrics.counted(results, progress) if nodes else results
        return
    archives = OpenArchives()  # of all shards: some are read forward
    for shard in shards:
        rows = partial_rows(shard)
        for result in score_shard(shard, job.checkpoint, job.settings, rows, archives):
            yield result
            stop.check()  # Python drops what is raised in a destructor or a callback from C


def workers_of(job: Job) -> Workers:
    """The worker processes of a job on Ray."""
    config = job.config
    return Workers(
        count=config.fixed_worker_count,
        model=config.model if is_shipped(config.model) else resolve(config.model),
        device=job.device,
        settings=job.settings,
        file_timeout_s=config.file_timeout_s,
        address=config.address,
        cpus_per_worker=config.cpus_per_worker,
        gpus_per_worker=_gpus_per_worker(job),
        scorers=config.scorers,
        program=Program(job.checkpoint.digest),
    )


def _gpus_per_worker(job: Job) -> float:
    """Of a worker, or of a scorer where there are any.

    By default one on a cluster; on this machine equal shares of its GPUs.
    """
    config = job.config
    if config.gpus_per_worker is not None or job.device != "cuda":
        return config.gpus_per_worker or 0.0
    return 1.0 if config.on_cluster else gpu_share(config.scorers or config.worker_count)


def record_of(job: Job, last_run: LastRun, committed: CommittedParts) -> RunRecord:
    """The record of the output, without its counts and tables."""
    info, pattern = job.checkpoint.info, job.schemas.name_pattern
    unmatched = pattern.unmatched(committed.files) if pattern else 0
    return RunRecord(
        program=f"batch-ser {__version__}",
        finished=_now(),
        configuration=job.configuration(),
        fingerprint=job.fingerprint,
        checkpoint=CheckpointRecord(
            info.name, job.checkpoint.digest, info.licence, list(info.labels)
        ),
        listing=Listing(job.walk.ignored, job.walk.repeated, unmatched),
        last_run=last_run,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
