"""The workers of a job on Ray: where they start, what each is doing, which nodes are left out.

A node on which a worker cannot do its job, such as one that does not see the recordings, gets no
other; the rest of the cluster goes on. By default there are as many workers as fit, also when a
cluster grows.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray

from batch_ser.errors import BatchSerError, Incomplete, UsageError
from jobs.ray_ends import node_of
from jobs.ray_nodes import Nodes
from jobs.ray_scorers import RayScorers
from jobs.tasks import Task
from jobs.worker_process import Workers

START_S = 600.0  # without a single worker
NOTICE_S = 30.0  # of a cluster: until that is reported
MAX_LOADING_DEATHS = 50  # in a row, before a worker was ready: they are not all chance
NODE_ID = "ray.io/node-id"  # the label that Ray gives every node


@dataclass
class Call:
    """What a worker is doing: a task, or loading."""

    worker: Any
    task: Task | None = None
    started: float = field(default_factory=time.monotonic)
    advanced: bool = False  # there was a partial result with segments

    @property
    def is_stream(self) -> bool:
        """Whether it has several results, one after the other."""
        return self.task is not None and not self.task.examine


class RayWorkers:
    """All workers of a job, by what they are doing."""

    def __init__(
        self, kind: type, workers: Workers, nodes: Nodes | None, notice: Callable[[str], None]
    ) -> None:
        """Workers are of a `kind`; without `nodes` they are on this machine."""
        self.calls: dict[Any, Call] = {}
        self.idle: list[Any] = []
        self._workers = workers
        self._nodes = nodes
        self._notice = notice
        self._wanted = 0
        self._left_out: set[str] = set()  # ids of nodes
        self._loading_deaths = 0
        self._without_since = time.monotonic()  # when there last was a worker that had loaded
        self._is_reported = False  # that there is none
        self._actor: Any = ray.remote(kind)
        self._scorers = RayScorers(workers)
        self._gpus = 0.0 if workers.scorers else workers.gpus_per_worker
        self._options: dict[str, Any] = {
            "num_cpus": workers.cpus_per_worker,
            "num_gpus": self._gpus,
            "max_restarts": 0,
        }

    @property
    def busy(self) -> bool:
        """Whether there is a task that is not done."""
        return any(call.task for call in self.calls.values())

    def start_all(self) -> None:
        """Start as many as there should be, or as fit into the cluster now, but one at least."""
        room = self._room()
        if self._nodes and not room:
            self._notice(
                "the cluster has no node with room for a worker at present "
                f"({self._workers.cpus_per_worker:g} CPUs, {self._gpus:g} GPUs "
                f"each); waiting {START_S:g} s for one"
            )
        self._grow(max(1, self._workers.count or room))

    def _grow(self, wanted: int) -> None:
        while self._wanted < wanted:
            self._wanted += 1
            self.start()

    def start(self) -> None:
        """Start one, which begins to load its checkpoint as soon as there is room for it."""
        actor = self._actor.options(**self._options)
        worker = actor.remote(self._workers, self._scorers.one())
        self.calls[worker.load.remote()] = Call(worker)

    def loaded(self, worker: Any) -> None:
        """A worker is ready for its first task."""
        self._loading_deaths = 0
        self.idle.append(worker)

    def died_loading(self) -> None:
        """A process ended before it was ready.

        Raises:
            Incomplete: too many did, one after the other.
        """
        self._loading_deaths += 1
        if self._loading_deaths == MAX_LOADING_DEATHS:
            raise Incomplete(
                f"{MAX_LOADING_DEATHS} workers in a row ended while they loaded the checkpoint: "
                "not enough memory? Fewer --workers need less"
            )

    def unusable(self, worker: Any, cause: Exception) -> None:
        """Go on without a worker that cannot do its job here, if there are others.

        Raises:
            UsageError, Incomplete: there are none; by whose fault that is.
        """
        if self._nodes:
            if node := node_of(worker):
                self._leave_out(self._nodes, node, cause)
            else:
                self.died_loading()
            ray.kill(worker)
            self.start()
            return
        ray.kill(worker)
        if not self.calls and not self.idle:
            if isinstance(cause, BatchSerError):
                raise cause
            raise Incomplete(f"no worker can start: {_text(cause)}") from cause

    def _leave_out(self, nodes: Nodes, node: str, cause: Exception) -> None:
        """Start no more workers on a node."""
        known = node in self._left_out
        self._left_out.add(node)
        others = f"!in({', '.join(sorted(self._left_out))})"
        self._options["label_selector"] = {NODE_ID: others}
        found = f"{nodes.name(node)} is left out: {_text(cause)}"
        if not self._room() and not self.busy and not self.idle:
            kind = UsageError if isinstance(cause, UsageError) else Incomplete
            raise kind(f"no node of the cluster can do this job; {found}") from cause
        if known:
            return
        self._notice(found)
        for reference, call in list(self.calls.items()):
            if call.task is None:  # those that wait might start there
                del self.calls[reference]
                ray.kill(call.worker)
                self.start()

    def _room(self) -> int:
        """How many workers fit into the cluster, but for nodes that are left out."""
        if self._nodes is None:
            return 0
        return self._nodes.room(self._workers.cpus_per_worker, self._gpus, self._left_out)

    def check(self) -> None:
        """Start more where a cluster has grown; check that some worker is, or lately was, ready.

        Raises:
            Incomplete: there is no place for any, or the head of the cluster is gone.
        """
        self._scorers.check()
        if self._nodes:
            self._nodes.check()
            if self._workers.count is None:
                self._grow(self._room())
        if self.idle or self.busy:
            self._without_since = time.monotonic()
        waited_s = time.monotonic() - self._without_since
        if self._nodes and waited_s > NOTICE_S and not self._is_reported:
            self._is_reported = True
            self._notice(
                f"no worker is ready after {NOTICE_S:g} s: other jobs may have the cluster's CPUs; "
                f"waiting up to {START_S:g} s"
            )
        if waited_s > START_S:
            raise Incomplete(
                f"no worker has started within {START_S:g} s: Ray may have no free CPUs for them "
                "(--workers, --cpus-per-worker, --gpus-per-worker)"
            )


def _text(cause: Exception) -> str:
    return str(cause) if isinstance(cause, BatchSerError) else f"{type(cause).__name__}: {cause}"
