"""Shards to results on Ray: one actor per worker, one shard per call, every result looked at.

A worker's death is never evidence against a file. The files of the shard that it held are done
again one by one; only a file that ends its worker twice, alone, is convicted.

Traps of Ray that this module works around: `ray.init` replaces signal handlers, puts the current
folder first on the workers' import path (where a folder named `models` would hide ours), and
reports usage.
"""

import contextlib
import logging
import math
import os
import time
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from batch_ser.errors import FileError, Incomplete, Reason, UsageError
from jobs.sharding import Shard
from jobs.stop import OrderlyStop
from jobs.worker import ShardResult, ShardSettings, failed, score_shard

CONVICTED_AFTER = 2
START_S = 600.0
OBJECT_STORE_BYTES = 256_000_000  # only rows travel


@dataclass(frozen=True)
class Crew:
    """The workers of a job."""

    workers: int
    model: str
    device: str
    settings: ShardSettings
    file_timeout_s: float
    address: str | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0


class Worker:
    """One process with one checkpoint: a callable over shards."""

    def __init__(self, model: str, device: str, settings: ShardSettings) -> None:
        import torch

        from models import load_checkpoint

        # by default oneDNN keeps the kernels of a thousand shapes, and segments come in all
        # lengths: measured, a worker grew by 5 MB a batch. Eight are as fast.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
        torch.set_num_threads(1)
        self._checkpoint = load_checkpoint(model, device)
        self._settings = settings

    def ready(self) -> None:
        """Answer once the checkpoint is loaded."""

    def work(self, shard: Shard) -> ShardResult:
        """All rows of a shard."""
        return score_shard(shard, self._checkpoint, self._settings)


@contextlib.contextmanager
def cluster(crew: Crew, stop: OrderlyStop) -> Iterator[None]:
    """A local Ray, or a connection to a running one; inside, signals wait for `stop.check`."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    local: dict[str, Any] = {
        "num_cpus": math.ceil(crew.workers * crew.cpus_per_worker),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    with stop.deferred():
        try:
            _connect(crew, local)
            stop.install()
            yield
        finally:
            ray.shutdown()
            stop.install()


def _connect(crew: Crew, local: dict[str, Any]) -> None:
    """Start or join Ray from our own folder: Ray puts the current one first on the import path."""
    try:
        with contextlib.chdir(Path(__file__).parent.parent):
            ray.init(
                address=crew.address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                **({} if crew.address else local),
            )
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        if crew.address is None:
            raise Incomplete(f"Ray does not start: {_told(error)}") from error
        raise UsageError(f"--address {crew.address}: no cluster: {_told(error)}") from error


@dataclass
class _Call:
    """A shard at work."""

    worker: Any
    shard: Shard
    started: float = field(default_factory=time.monotonic)


class _Executor:
    """Keeps every worker busy with one shard, and replaces workers that die."""

    def __init__(self, shards: Iterator[Shard], crew: Crew, stop: OrderlyStop) -> None:
        self._shards = shards
        self._crew = crew
        self._stop = stop
        self._alone: deque[Shard] = deque()  # files whose worker died, to be done one by one
        self._deaths: Counter[str] = Counter()
        self._calls: dict[Any, _Call] = {}
        actor: Any = ray.remote(Worker).options(
            num_cpus=crew.cpus_per_worker, num_gpus=crew.gpus_per_worker, max_restarts=0
        )
        self._actor = actor

    def _hire(self) -> Any:
        crew = self._crew
        return self._actor.remote(crew.model, crew.device, crew.settings)

    def __iter__(self) -> Iterator[ShardResult]:
        workers = [self._hire() for _ in range(self._crew.workers)]
        for worker in workers:
            self._await(worker)
            self._give(worker)
        while self._calls:
            self._stop.check()
            done, _ = ray.wait(list(self._calls), num_returns=1, timeout=1.0)
            for reference in done:
                yield from self._finished(reference, self._calls.pop(reference))
            yield from self._overdue()

    def _await(self, worker: Any) -> None:
        """Wait until a worker has loaded its checkpoint."""
        ready, until = worker.ready.remote(), time.monotonic() + START_S
        try:
            while not ray.wait([ready], timeout=1.0)[0]:
                self._stop.check()
                if time.monotonic() > until:
                    raise Incomplete(f"a worker has not started after {START_S:g} s")
            ray.get(ready)
        except RayTaskError as error:
            raise error.as_instanceof_cause() from error
        except RayError as error:
            raise Incomplete(f"a worker cannot start: {_told(error)}") from error

    def _give(self, worker: Any) -> None:
        """Hand a worker its next shard, if there is one."""
        shard = self._alone.popleft() if self._alone else next(self._shards, None)
        if shard is not None:
            self._calls[worker.work.remote(shard)] = _Call(worker, shard)

    def _finished(self, reference: Any, call: _Call) -> Iterator[ShardResult]:
        try:
            result: ShardResult = ray.get(reference)
        except RayTaskError as error:
            yield from self._suspect(call, FileError(Reason.INTERNAL_ERROR, repr(error.cause)))
        except RayError:  # the process is gone
            message = f"decoding ended its process, {CONVICTED_AFTER} times"
            yield from self._suspect(call, FileError(Reason.DECODER_CRASH, message))
        else:
            self._give(call.worker)  # before the driver commits, so that nobody waits for it
            yield result

    def _overdue(self) -> Iterator[ShardResult]:
        """End the workers of calls that take too long."""
        now, limit_s = time.monotonic(), self._crew.file_timeout_s
        for reference, call in list(self._calls.items()):
            if now - call.started > limit_s:
                del self._calls[reference]
                error = FileError(Reason.TIMEOUT, f"not done after {limit_s:g} s (--file-timeout)")
                yield from self._suspect(call, error)

    def _suspect(self, call: _Call, error: FileError) -> Iterator[ShardResult]:
        """Replace a worker and do its files again, each alone; convict one that did it twice."""
        ray.kill(call.worker)
        if len(call.shard) > 1:
            self._alone.extend([file] for file in call.shard)
        else:
            file = call.shard[0]
            self._deaths[file.path] += 1
            if self._deaths[file.path] < CONVICTED_AFTER:
                self._alone.append(call.shard)
            else:
                yield failed(file, self._crew.settings.schemas, error)
        worker = self._hire()
        self._await(worker)
        self._give(worker)


def _told(error: Exception) -> str:
    """The last line of what Ray says: the error itself, below its trace and colours."""
    return str(error).strip().splitlines()[-1]


def execute(shards: Iterator[Shard], crew: Crew, stop: OrderlyStop) -> Iterator[ShardResult]:
    """Results in the order in which they are done."""
    yield from _Executor(shards, crew, stop)
