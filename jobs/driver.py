"""The driver: walk, plan, execute, commit, finalise. It alone writes."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from batch_ser import SCORES_VERSION, __version__
from batch_ser.audio import parse_channels
from batch_ser.errors import MismatchError, UsageError
from batch_ser.finalise import finalise
from batch_ser.inputs import InputFile, Selection, Walk
from batch_ser.output import Output, write_json
from batch_ser.parts import commit, committed_parts, winners
from batch_ser.segment import SegmentSettings, as_metadata
from batch_ser.tables import TableSchemas
from jobs.heartbeat import Heartbeat
from jobs.plan import Shard, plan
from jobs.progress import Progress
from jobs.report import RunReport, budget
from jobs.shard import ShardResult, ShardSettings, failed, work
from models import Checkpoint, load_checkpoint

COMMIT_EVERY_S = 30.0
COMMIT_BYTES = 128_000_000
ENGINES = ("ray", "inline")


class Stopped(BaseException):
    """The job was asked to stop by SIGTERM; what is done is committed."""


@dataclass(frozen=True)
class RunConfig:
    """One job, as the command line gives it."""

    inputs: tuple[str, ...]
    out: str
    model: str = "accurate"
    device: str = "auto"
    segment: Mapping[str, float | str | None] = field(default_factory=dict)
    channels: str = "split"
    selection: Selection = field(default_factory=Selection)
    limit: int | None = None
    engine: str = "ray"
    workers: int | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float | None = None
    address: str | None = None
    batch_s: float = 64.0
    file_timeout_s: float = 3600.0
    max_failed: str = "0"
    restart: bool = False

    def __post_init__(self) -> None:
        if not self.inputs:
            raise UsageError("--input: expected at least one folder, file, glob or manifest")
        if self.engine not in ENGINES:
            raise UsageError(f"--engine {self.engine}: expected ray or inline")
        if self.device not in ("auto", "cpu", "cuda"):
            raise UsageError(f"--device {self.device}: expected auto, cpu or cuda")
        if self.channels not in ("split", "mix"):
            parse_channels(self.channels)
        for name in ("limit", "workers", "cpus_per_worker", "batch_s", "file_timeout_s"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                option = name.removesuffix("_s").replace("_", "-")
                raise UsageError(f"--{option} {value:g}: expected more than 0")
        budget(self.max_failed, 0)

    @property
    def crew_size(self) -> int:
        """Workers: as asked for, or one per core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class _Job:
    """A configuration with everything that it names looked up."""

    config: RunConfig
    output: Output
    walk: Walk
    checkpoint: Checkpoint
    settings: ShardSettings
    fingerprint: dict[str, Any]


def run(config: RunConfig) -> RunReport:
    """Run a job to its end, going on where an earlier call stopped.

    Raises:
        UsageError: the configuration cannot be carried out, or does not fit the output.
        AlreadyRunning: another driver is at work on this output.
        Incomplete: the job stopped before its end.
    """
    job = _prepare(config)
    output = job.output
    if config.restart:
        output.check_ours()
    else:
        _check_fingerprint(output, job.fingerprint)
    with _stop_on_sigterm(), Heartbeat(output.work) as heartbeat:
        if config.restart:
            output.remove(keep=heartbeat.path)
        output.publish()  # of a driver that ended while publishing
        if not output.run_json.exists():
            write_json(output.settings_json, job.fingerprint)
        return _drive(job, heartbeat)


def _prepare(config: RunConfig) -> _Job:
    output = Output(Path(config.out))
    selection = Selection(**(asdict(config.selection) | {"never": output.own_paths}))
    walk = Walk(config.inputs, selection)
    device = _device(config.device)
    checkpoint = load_checkpoint(config.model, device)
    defaults = dict(checkpoint.info.segment) | {"piece_s": checkpoint.info.max_input_s}
    segment = SegmentSettings.resolve(config.segment, defaults)
    fingerprint = {
        "input": [os.path.abspath(each) for each in config.inputs],
        "root": config.selection.root and os.path.abspath(config.selection.root),
        "checkpoint": checkpoint.digest,
        "segment": as_metadata(segment),
        "channels": config.channels,
        "resampler": "soxr HQ",
        "runtime": f"torch float32 {device}",
        "manifest_columns": list(walk.manifest_columns),
        "scores_version": SCORES_VERSION,
    }
    metadata = {
        "labels": json.dumps(checkpoint.info.labels),
        "checkpoint": checkpoint.info.name,
        "checkpoint_sha256": checkpoint.digest,
        "licence": checkpoint.info.licence,
        "settings": json.dumps(fingerprint),
        "program": f"batch-ser {__version__}",
    }
    schemas = TableSchemas(checkpoint.info.labels, walk.manifest_columns, metadata)
    settings = ShardSettings(segment, schemas, config.channels, config.batch_s)
    return _Job(config, output, walk, checkpoint, settings, fingerprint)


def _device(choice: str) -> str:
    """The device that all workers use; chosen once, by the driver."""
    import torch

    available = torch.cuda.is_available()
    if choice == "cuda" and not available:
        raise UsageError("--device cuda: torch finds no usable GPU here; give --device cpu")
    return "cuda" if choice != "cpu" and available else "cpu"


def _check_fingerprint(output: Output, fingerprint: dict[str, Any]) -> None:
    """Refuse to mix results of different settings.

    Raises:
        MismatchError: the output was made with others; the differences are named.
    """
    output.check_ours()
    earlier = output.earlier_settings()
    if earlier is None:
        return
    old, new = _flat(earlier), _flat(fingerprint)
    changed = [
        f"{name} was {old.get(name)}, is {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    if changed:
        raise MismatchError(
            f"--out {output.out} holds results of other settings: {'; '.join(changed)}. "
            "Give the same settings, another --out, or --restart to begin again"
        )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    segment = {f"segment.{name}": value for name, value in settings.get("segment", {}).items()}
    return {name: value for name, value in settings.items() if name != "segment"} | segment


def _drive(job: _Job, heartbeat: Heartbeat) -> RunReport:
    """Do what is not done yet, and finish the tables if anything was."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    progress = Progress()
    committer = _Committer(job.output.work)
    try:
        for result in _results(job, progress):
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
        record = finalise(job.output, job.settings.schemas, _record(job, last_run))
    return RunReport(record, job.config.max_failed)


def _results(job: _Job, progress: Progress) -> Iterator[ShardResult]:
    """Results of everything that is not done yet: first of what needs no worker."""
    done = {name: win.version for name, win in winners(committed_parts(job.output)).items()}
    unreadable: list[ShardResult] = []

    def todo() -> Iterator[InputFile]:
        for file in progress.listing(_new(job, done)):
            if file.error:
                unreadable.append(failed(file, job.settings.schemas, file.error))
            else:
                yield file

    for result in _execute(job, plan(todo(), job.config.crew_size)):
        yield from unreadable
        unreadable.clear()
        yield result
    yield from unreadable


def _new(job: _Job, done: dict[str, tuple[int, int]]) -> Iterator[InputFile]:
    for file in islice(job.walk, job.config.limit):
        if done.get(file.file) != (file.size_bytes, file.modified_us):
            yield file


def _execute(job: _Job, shards: Iterator[Shard]) -> Iterator[ShardResult]:
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
            yield work(shard, job.checkpoint, job.settings)
        return
    from jobs import on_ray

    gpus = config.gpus_per_worker
    if gpus is None:
        gpus = 1 / config.crew_size if job.fingerprint["runtime"].endswith("cuda") else 0.0
    crew = on_ray.Crew(
        workers=config.crew_size,
        model=os.path.abspath(config.model)
        if config.model.endswith(".safetensors")
        else config.model,
        device=_device(config.device),
        settings=job.settings,
        file_timeout_s=config.file_timeout_s,
        address=config.address,
        cpus_per_worker=config.cpus_per_worker,
        gpus_per_worker=gpus,
    )
    with on_ray.cluster(crew):
        yield from on_ray.execute(all_shards(), crew)


class _Committer:
    """Collects results and commits them: the first at once, then every 30 s or 128 MB."""

    def __init__(self, work: Path) -> None:
        self.stage_s: Counter[str] = Counter()
        self.peak_bytes = 0
        self._work = work
        self._segments: list[pa.Table] = []
        self._files: list[pa.Table] = []
        self._bytes = 0
        self._committed = float("-inf")

    def add(self, result: ShardResult) -> None:
        self.stage_s.update(result.stage_s)
        self.peak_bytes = max(self.peak_bytes, result.peak_bytes)
        self._segments.append(result.segments)
        self._files.append(result.files)
        self._bytes += result.segments.nbytes + result.files.nbytes
        if time.monotonic() - self._committed >= COMMIT_EVERY_S or self._bytes >= COMMIT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Commit what has been collected."""
        if not self._files:
            return
        segments = pa.concat_tables(self._segments).unify_dictionaries()
        files = pa.concat_tables(self._files)
        commit(self._work, segments, files)
        self._segments, self._files, self._bytes = [], [], 0
        self._committed = time.monotonic()


def _record(job: _Job, last_run: dict[str, Any]) -> dict[str, Any]:
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


@contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that what is done is committed before the end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
