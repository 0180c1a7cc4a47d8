"""Tasks on Ray: one actor per worker, one task per call, every result checked.

Workers start, die and join at any time; the first that is ready begins. What follows from the end
of one is in `jobs/tasks.py`.

Behaviour of Ray that this module works around: `ray.init` replaces signal handlers, puts the
current folder first on the workers' import path (where a folder named `models` would hide ours),
reports usage, listens on all interfaces, joins any Ray that it finds, and keeps a token for access
in the user's home.
"""

import contextlib
import logging
import math
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray._private.node import Node
from ray.exceptions import RayError, RayTaskError

from batch_ser.errors import BatchSerError, Incomplete, UsageError
from jobs.sharding import Shard
from jobs.stop import OrderlyStop
from jobs.tasks import PartialRows, Task, Tasks
from jobs.watchdog import scratch_folder
from jobs.worker import ShardResult
from jobs.worker_process import Worker, Workers

START_S = 600.0  # without a single worker
MAX_LOADING_DEATHS = 50  # in a row, before a worker was ready: they are not all chance
OBJECT_STORE_BYTES = 256_000_000  # only rows are transferred


@contextlib.contextmanager
def cluster(workers: Workers, stop: OrderlyStop) -> Iterator[None]:
    """A local Ray, or a connection to a running one; inside, signals wait for `stop.check`."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    with stop.deferred(), contextlib.ExitStack() as stack:
        options: dict[str, Any] = {"address": workers.address}
        if workers.address is None:
            options = _local_options(workers) | {"_temp_dir": stack.enter_context(_local())}
        try:
            _connect(workers, options)
            stop.install()
            yield
        finally:
            ray.shutdown()
            stop.install()


def _local_options(workers: Workers) -> dict[str, Any]:
    return {
        "address": "local",  # whatever else runs on this machine, or is in RAY_ADDRESS
        "num_cpus": math.ceil(workers.count * workers.cpus_per_worker),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }


@contextlib.contextmanager
def _local() -> Iterator[str]:
    """Keep a local Ray to this machine and to a folder of its own, which is returned.

    Ray takes 127.0.0.1 as a node's address only where it does not expect clusters, which is a
    constant; with the parameter `_node_ip_address` it would listen on all interfaces. Even without
    a dashboard it starts its process, which asks three clouds' metadata servers where it runs.
    """
    with (
        _replaced(ray_constants, "ENABLE_RAY_CLUSTER", False),
        _replaced(Node, "start_api_server", lambda *_, **__: None),
        _token_of_its_own(),
        scratch_folder() as folder,
    ):
        yield folder


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def _token_of_its_own() -> Iterator[None]:
    """Keep other users of the machine out of a local Ray by a token that is nowhere on disk.

    Without `RAY_AUTH_MODE` Ray asks for a token; without `RAY_AUTH_TOKEN` it writes one below the
    user's home.
    """
    names = ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")
    before = {name: os.environ.pop(name) for name in names if name in os.environ}
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    raylet: Any = ray._raylet
    raylet.AuthenticationTokenLoader.instance().reset_cache()
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)
        os.environ |= before
        raylet.AuthenticationTokenLoader.instance().reset_cache()


def _connect(workers: Workers, options: dict[str, Any]) -> None:
    """Start or join Ray from our own folder: Ray puts the current one first on the import path."""
    try:
        with contextlib.chdir(Path(__file__).parent.parent):
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **options)
    except BatchSerError:
        raise
    except Exception as error:  # Ray raises nothing more exact when its node does not start
        if workers.address is None:
            raise Incomplete(
                f"Ray does not start: {_last_line(error)}; give the command again, when the "
                "machine has less to do, or with --engine inline"
            ) from error
        raise UsageError(f"--address {workers.address}: no cluster: {_last_line(error)}") from error


@dataclass
class _Call:
    """What a worker is doing: a task, or loading."""

    worker: Any
    task: Task | None = None
    started: float = field(default_factory=time.monotonic)
    advanced: bool = False  # there was a partial result with segments

    @property
    def is_stream(self) -> bool:
        """Whether it has several results, one after the other."""
        return self.task is not None and not self.task.examine


class _Executor:
    """Keeps every worker busy with one task, and replaces workers that die."""

    def __init__(
        self, shards: Iterator[Shard], workers: Workers, stop: OrderlyStop, partial: PartialRows
    ) -> None:
        self._partial_rows = partial
        self._tasks = Tasks(shards, workers.settings.schemas, workers.file_timeout_s)
        self._workers = workers
        self._stop = stop
        self._calls: dict[Any, _Call] = {}
        self._idle: list[Any] = []
        self._loading_deaths = 0
        self._without_since = time.monotonic()  # when there last was a worker that had loaded
        actor: Any = ray.remote(Worker).options(
            num_cpus=workers.cpus_per_worker, num_gpus=workers.gpus_per_worker, max_restarts=0
        )
        self._actor = actor

    def __iter__(self) -> Iterator[ShardResult]:
        for _ in range(self._workers.count):
            self._start_worker()
        while self._tasks.left or any(call.task for call in self._calls.values()):
            self._stop.check()
            done, _ = ray.wait(list(self._calls), num_returns=1, timeout=1.0)
            for reference in done:
                results = self._received(reference, self._calls.pop(reference))
                self._assign()  # before the driver commits, so that no worker waits for it
                yield from results
            yield from self._overdue()
            self._check_workers()

    def _start_worker(self) -> None:
        worker = self._actor.remote(self._workers)
        self._calls[worker.load.remote()] = _Call(worker)

    def _assign(self) -> None:
        """Give every idle worker its next task, if there is one."""
        while self._idle and self._tasks.left:
            worker, task = self._idle.pop(), self._tasks.take()
            if task.examine:
                reference = worker.examine.remote(task.shard)
            else:
                score = worker.score.options(num_returns="streaming")
                reference = score.remote(task.shard, self._partial_rows(task.shard))
            self._calls[reference] = _Call(worker, task)

    def _received(self, reference: Any, call: _Call) -> list[ShardResult]:
        """What a call returns, or what its error leads to; after a partial result it goes on."""
        try:
            value = ray.get(next(reference) if call.is_stream else reference)
        except RayTaskError as error:
            return self._raised(call, error.cause)
        except RayError as error:  # the process is gone, for whatever reason
            return self._died(call, error)
        if call.is_stream and value.is_partial:
            call.advanced |= len(value.segments) > 0
            self._calls[reference] = call
            return [value]
        self._idle.append(call.worker)
        if call.task is None:
            self._loading_deaths = 0
            return []
        return list(self._tasks.examined(call.task, value)) if call.task.examine else [value]

    def _raised(self, call: _Call, cause: Exception) -> list[ShardResult]:
        if call.task is None:
            self._failed_to_load(call.worker, cause)
            return []
        if isinstance(cause, Incomplete):
            raise cause
        self._idle.append(call.worker)
        return list(self._tasks.raised(call.task, cause))

    def _died(self, call: _Call, error: RayError) -> list[ShardResult]:
        """Replace a worker."""
        if getattr(error, "actor_init_failed", False):  # as where this package is missing
            self._failed_to_load(call.worker, RuntimeError(_last_line(error)))
            return []
        ray.kill(call.worker)
        self._start_worker()
        if call.task is not None:
            return list(self._tasks.died(call.task, advanced=call.advanced))
        self._loading_deaths += 1
        if self._loading_deaths == MAX_LOADING_DEATHS:
            raise Incomplete(
                f"{MAX_LOADING_DEATHS} workers in a row ended while they loaded the checkpoint: "
                "not enough memory? Fewer --workers need less"
            )
        return []

    def _failed_to_load(self, worker: Any, cause: Exception) -> None:
        """Go on without a worker that cannot load its checkpoint, if there are others."""
        ray.kill(worker)
        if self._calls or self._idle:
            return
        if isinstance(cause, BatchSerError):
            raise cause
        raise Incomplete(f"no worker can start: {type(cause).__name__}: {cause}") from cause

    def _overdue(self) -> Iterator[ShardResult]:
        """End the workers of files that take too long; an examination has limits of its own."""
        now, limit_s = time.monotonic(), self._workers.file_timeout_s
        for reference, call in list(self._calls.items()):
            task = call.task
            if task and not task.examine and now - call.started > limit_s:
                del self._calls[reference]
                ray.kill(call.worker)
                self._start_worker()
                yield from self._tasks.overran(task)

    def _check_workers(self) -> None:
        """Check that some worker is, or lately was, ready: a cluster may have no place for any."""
        if self._idle or any(call.task for call in self._calls.values()):
            self._without_since = time.monotonic()
        if time.monotonic() - self._without_since > START_S:
            raise Incomplete(
                f"no worker has started within {START_S:g} s: Ray may have no free CPUs for them "
                "(--workers, --cpus-per-worker, --gpus-per-worker)"
            )


def _last_line(error: Exception) -> str:
    """The last line of Ray's message: the error itself, below its traceback."""
    return str(error).strip().splitlines()[-1]


def _no_rows(_: Shard) -> Mapping[str, Any]:
    return {}


def execute(
    shards: Iterator[Shard],
    workers: Workers,
    stop: OrderlyStop,
    partial_rows: PartialRows = _no_rows,
) -> Iterator[ShardResult]:
    """Results in the order in which they are done."""
    yield from _Executor(shards, workers, stop, partial_rows)
