"""The workers of a job on Ray: where they start, what each is doing, which nodes are left out.

A node on which a worker cannot do its job, such as one that does not see the recordings, gets no
other, and those on it get no further task; the rest of the cluster goes on. By default there are as
many workers as fit, also when a cluster grows. Those of a cluster for which there is no more task
end, so that their nodes can go while a long recording is still scored elsewhere.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ray

from batch_ser.errors import BatchSerError, Incomplete
from jobs.ray_ends import node_of
from jobs.ray_nodes import Nodes, elsewhere, found_at, refusal
from jobs.ray_scorers import RayScorers
from jobs.tasks import Task
from jobs.worker_process import Workers

START_S = 600.0  # without a single worker
NOTICE_S = 30.0  # of a cluster: until that is reported
MAX_LOADING_DEATHS = 50  # in a row, before a worker was ready: they are not all chance


@dataclass(frozen=True)
class Kind:
    """What may be missing, for messages: what it is, needs, and by which options."""

    name: str
    units: str
    options: str


WORKERS = Kind("worker", "CPUs", "--workers, --cpus-per-worker, --gpus-per-worker")
SCORERS = Kind("scorer", "GPUs", "--scorers, --gpus-per-worker")


@dataclass
class Call:
    """What a worker is doing: a task, or loading."""

    worker: Any
    task: Task | None = None
    scorer: Any = None
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
        self._wanted = 0  # while there are tasks for all
        self._nodes_of: dict[Any, str] = {}  # the ids of the nodes of workers that have loaded
        self._left_out: dict[str, Exception] = {}  # why, by the ids of nodes
        self._gone_from = ""  # a node that workers had to leave since the last `adjust`
        self._loading_deaths = 0
        self._without_since = time.monotonic()  # when there last was a worker that had loaded
        self._is_reported = False  # that there is none
        self._actor: Any = ray.remote(kind)
        self.scorers = RayScorers(workers, nodes, self._leave_out)
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
        self._wanted = max(1, self._workers.count or room)
        self.adjust(None)

    def adjust(self, waiting: int | None) -> None:
        """Start what is missing; on a cluster, end those for which there is no task.

        There are `waiting` tasks that no worker has, or, where it is None, more than are known.

        Raises:
            UsageError, Incomplete: workers had to leave a node, and there is no other; by whose
                fault that is.
        """
        missing = self._wanted - len(self.calls) - len(self.idle)
        if self._nodes and waiting is not None:
            spare = len(self.idle) + len(self._loading())
            self._end_spare(spare - waiting)
            missing = min(missing, waiting - spare)
            if not waiting:
                self._without_since = time.monotonic()  # as none is wanted
        gone_from, self._gone_from = self._gone_from, ""
        is_wanted = waiting != 0 and not self.busy and not self.idle
        if self._nodes and gone_from and is_wanted and not self._room():
            raise refusal(self._nodes, gone_from, self._left_out[gone_from])
        for _ in range(missing):
            self._start()

    def next_scorer(self) -> Any:
        """The scorer that the fewest tasks use; None where workers score by themselves."""
        return self.scorers.least_used(call.scorer for call in self.calls.values())

    def _start(self) -> None:
        """Start one, which begins to load its checkpoint as soon as there is room for it."""
        worker = self._actor.options(**self._options).remote(self._workers)
        self.calls[worker.load.remote()] = Call(worker)

    def _loading(self) -> list[Any]:
        return [reference for reference, call in self.calls.items() if call.task is None]

    def _end_spare(self, number: int) -> None:
        """End so many that have no task, the latest that were started first."""
        for reference in self._loading()[::-1][: max(0, number)]:
            self.end(self.calls.pop(reference).worker)
            number -= 1
        for _ in range(number):
            self.end(self.idle.pop())

    def end(self, worker: Any) -> None:
        """End a worker that is neither idle nor in a call any more."""
        ray.kill(worker)
        self._nodes_of.pop(worker, None)

    def loaded(self, worker: Any) -> None:
        """A worker is ready for its first task."""
        self._loading_deaths = 0
        self.free(worker)

    def free(self, worker: Any) -> None:
        """A worker has no task any more; on a node that is left out it gets no other."""
        if self._nodes and self._nodes.answers and worker not in self._nodes_of:
            self._nodes_of[worker] = node_of(worker)
        node = self._nodes_of.get(worker, "")
        if node not in self._left_out:
            self.idle.append(worker)
            return
        self.end(worker)
        self._gone_from = node

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
        """Go on without a worker that cannot do its job where it is, if there are others.

        Raises:
            UsageError, Incomplete: there are none on this machine; by whose fault that is.
        """
        if self._nodes:
            if node := node_of(worker):
                self._leave_out(node, cause)
                self._gone_from = node
            else:
                self.died_loading()
            self.end(worker)
            return
        self.end(worker)
        self._wanted -= 1
        if not self.calls and not self.idle:
            if isinstance(cause, BatchSerError):
                raise cause
            raise Incomplete(f"no worker can start: {type(cause).__name__}: {cause}") from cause

    def _leave_out(self, node: str, cause: Exception) -> None:
        """Start no more workers on a node; those on it may do the tasks that they have."""
        assert self._nodes
        known = node in self._left_out
        self._left_out[node] = cause
        if known:
            return
        self._notice(found_at(self._nodes, node, cause))
        self._options |= elsewhere(self._left_out)
        for reference in self._loading():  # those that wait might start there
            self.end(self.calls.pop(reference).worker)
        idle, self.idle = self.idle, []
        for worker in idle:
            self.free(worker)

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
        self.scorers.check()
        if self._nodes:
            self._nodes.check()
            if self._workers.count is None:
                self._wanted = max(self._wanted, self._room())
        if self.busy or (self.idle and self.scorers.ready):
            self._without_since = time.monotonic()
        waited_s = time.monotonic() - self._without_since
        missing = SCORERS if self.idle else WORKERS
        if self._nodes and waited_s > NOTICE_S and not self._is_reported:
            self._is_reported = True
            self._notice(
                f"no {missing.name} is ready after {NOTICE_S:g} s: other jobs may have the "
                f"cluster's {missing.units}; waiting up to {START_S:g} s"
            )
        if waited_s > START_S:
            raise Incomplete(
                f"no {missing.name} has started within {START_S:g} s: Ray may have no free "
                f"{missing.units} for them ({missing.options})"
            )
