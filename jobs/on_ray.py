"""Shards to results on Ray: one actor per worker, one shard per call, every result checked.

A file does not fail because its worker died. The files of that worker's shard are done again one by
one; only a file that ends its worker twice, alone, fails.

Behaviour of Ray that this module works around: `ray.init` replaces signal handlers, puts the
current folder first on the workers' import path (where a folder named `models` would hide ours),
and reports usage.
"""

import contextlib
import logging
import math
import os
import secrets
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

MAX_ATTEMPTS = 2  # of a file alone
START_S = 600.0
OBJECT_STORE_BYTES = 256_000_000  # only rows are transferred


@dataclass(frozen=True)
class Workers:
    """The worker processes of a job: how many, what each loads, and what it may use."""

    count: int
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

        # by default oneDNN keeps the kernels of a thousand shapes, and segments have all lengths:
        # measured, a worker grew by 5 MB a batch. Eight are as fast.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
        torch.set_num_threads(1)
        self._checkpoint = load_checkpoint(model, device)
        self._settings = settings

    def ready(self) -> None:
        """Return once the checkpoint is loaded."""

    def work(self, shard: Shard) -> ShardResult:
        """All rows of a shard."""
        return score_shard(shard, self._checkpoint, self._settings)


@contextlib.contextmanager
def cluster(workers: Workers, stop: OrderlyStop) -> Iterator[None]:
    """A local Ray, or a connection to a running one; inside, signals wait for `stop.check`."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    local: dict[str, Any] = {
        "num_cpus": math.ceil(workers.count * workers.cpus_per_worker),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    with stop.deferred():
        try:
            _connect(workers, local)
            stop.install()
            yield
        finally:
            ray.shutdown()
            stop.install()


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Inside, a Ray that starts contacts only itself, and writes nothing below the home folder.

    Even without a dashboard Ray starts its process, which asks three clouds' metadata servers where
    it runs. A token of its own keeps other users of the machine out of a local Ray; without one,
    Ray writes it below the home folder. It is kept, as Ray reads it once in a process.
    """
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    node: Any = ray._private.node.Node
    start = node.start_api_server
    node.start_api_server = lambda *_, **__: None
    try:
        yield
    finally:
        node.start_api_server = start


def _connect(workers: Workers, local: dict[str, Any]) -> None:
    """Start or join Ray from our own folder: Ray puts the current one first on the import path."""
    offline = contextlib.nullcontext() if workers.address else _offline()
    try:
        with offline, contextlib.chdir(Path(__file__).parent.parent):
            ray.init(
                address=workers.address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                **({} if workers.address else local),
            )
    except (ConnectionError, RuntimeError, ValueError, RayError) as error:
        if workers.address is None:
            raise Incomplete(f"Ray does not start: {_last_line(error)}") from error
        raise UsageError(f"--address {workers.address}: no cluster: {_last_line(error)}") from error


@dataclass
class _Call:
    """A shard that a worker is doing."""

    worker: Any
    shard: Shard
    started: float = field(default_factory=time.monotonic)


class _Executor:
    """Keeps every worker busy with one shard, and replaces workers that die."""

    def __init__(self, shards: Iterator[Shard], workers: Workers, stop: OrderlyStop) -> None:
        self._shards = shards
        self._workers = workers
        self._stop = stop
        self._alone: deque[Shard] = deque()  # single files of shards whose worker died
        self._attempts: Counter[str] = Counter()  # of a file alone, by its path
        self._calls: dict[Any, _Call] = {}
        actor: Any = ray.remote(Worker).options(
            num_cpus=workers.cpus_per_worker, num_gpus=workers.gpus_per_worker, max_restarts=0
        )
        self._actor = actor

    def _start_worker(self) -> Any:
        workers = self._workers
        return self._actor.remote(workers.model, workers.device, workers.settings)

    def __iter__(self) -> Iterator[ShardResult]:
        workers = [self._start_worker() for _ in range(self._workers.count)]
        for worker in workers:
            self._await(worker)
            self._assign(worker)
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
            raise Incomplete(f"a worker cannot start: {_last_line(error)}") from error

    def _assign(self, worker: Any) -> None:
        """Assign a worker its next shard, if there is one."""
        shard = self._alone.popleft() if self._alone else next(self._shards, None)
        if shard is not None:
            self._calls[worker.work.remote(shard)] = _Call(worker, shard)

    def _finished(self, reference: Any, call: _Call) -> Iterator[ShardResult]:
        try:
            result: ShardResult = ray.get(reference)
        except RayTaskError as error:
            yield from self._retry(call, FileError(Reason.INTERNAL_ERROR, repr(error.cause)))
        except RayError:  # the process is gone
            message = f"decoding ended its process, {MAX_ATTEMPTS} times"
            yield from self._retry(call, FileError(Reason.DECODER_CRASH, message))
        else:
            self._assign(call.worker)  # before the driver commits, so that no worker waits for it
            yield result

    def _overdue(self) -> Iterator[ShardResult]:
        """End the workers of calls that take too long."""
        now, limit_s = time.monotonic(), self._workers.file_timeout_s
        for reference, call in list(self._calls.items()):
            if now - call.started > limit_s:
                del self._calls[reference]
                error = FileError(Reason.TIMEOUT, f"not done after {limit_s:g} s (--file-timeout)")
                yield from self._retry(call, error)

    def _retry(self, call: _Call, error: FileError) -> Iterator[ShardResult]:
        """Replace a worker and do its files again, each alone; one that ends it twice fails."""
        ray.kill(call.worker)
        if len(call.shard) > 1:
            self._alone.extend([file] for file in call.shard)
        else:
            file = call.shard[0]
            self._attempts[file.path] += 1
            if self._attempts[file.path] < MAX_ATTEMPTS:
                self._alone.append(call.shard)
            else:
                yield failed(file, self._workers.settings.schemas, error)
        worker = self._start_worker()
        self._await(worker)
        self._assign(worker)


def _last_line(error: Exception) -> str:
    """The last line of Ray's message: the error itself, below its traceback."""
    return str(error).strip().splitlines()[-1]


def execute(shards: Iterator[Shard], workers: Workers, stop: OrderlyStop) -> Iterator[ShardResult]:
    """Results in the order in which they are done."""
    yield from _Executor(shards, workers, stop)
