"""Tasks on Ray: one actor per worker, one task per call, every result checked.

Workers start, die and join at any time; the first that is ready begins. What follows from the end
of one is in `jobs/tasks.py`.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from batch_ser.errors import Incomplete
from jobs.losses import Losses
from jobs.ray_ends import LOSSES, End, end_of, last_line, node_of, recorded_end, start_problem
from jobs.ray_nodes import Nodes
from jobs.ray_scoring import NoScorer
from jobs.ray_workers import Call, RayWorkers
from jobs.sharding import Shard
from jobs.stop import OrderlyStop
from jobs.tasks import PartialRows, Tasks
from jobs.unseen import unseen
from jobs.worker import ShardResult
from jobs.worker_process import Worker, Workers

Notice = Callable[[str], None]
WAIT_S = 1.0  # at most, between two looks at signals and the head of the cluster
UNREACHABLE_S = 20.0  # until a worker counts as lost: the head knows of a killed node after 11 s


@dataclass(frozen=True)
class _Unreachable:
    """A call whose worker cannot be reached: of a node that is gone, or of one that died itself."""

    call: Call
    since: float = field(default_factory=time.monotonic)


class _Executor:
    """Keeps every worker busy with one task, and replaces workers that die."""

    def __init__(
        self,
        shards: Iterator[Shard],
        workers: Workers,
        stop: OrderlyStop,
        partial: PartialRows,
        nodes: Nodes | None,
        notice: Notice,
    ) -> None:
        self._partial_rows = partial
        self._tasks = Tasks(shards, workers.settings.schemas, workers.file_timeout_s)
        self._pool = RayWorkers(Worker, workers, nodes, notice)
        self._limit_s = workers.file_timeout_s
        self._stop = stop
        self._nodes = nodes
        self._notice = notice
        self._losses = Losses()
        self._unreachable: list[_Unreachable] = []
        self._reported: set[tuple[str, End]] = set()  # losses, by the id of the node

    def __iter__(self) -> Iterator[ShardResult]:
        self._pool.start_all()
        calls = self._pool.calls
        while self._tasks.left or self._pool.busy or self._unreachable:
            self._check()
            self._assign()  # where a scorer has loaded
            for reference in self._done():
                results = self._received(reference, calls.pop(reference))
                self._assign()  # before the driver commits, so that no worker waits for it
                yield from results
            yield from self._overdue()
            yield from self._lost()
            self._assign()
            self._pool.adjust(self._tasks.waiting)

    def _check(self) -> None:
        """Raise what ends the job: a signal, or a cluster without head, workers or results."""
        self._stop.check()
        self._losses.check()
        self._pool.check()

    def _done(self) -> list[Any]:
        """Calls with a value or an error, as soon as there is one; none after a second, or when a
        scorer has loaded.
        """
        awaited = [*self._pool.calls, *self._pool.scorers.loading]
        if not awaited:  # of those that cannot be reached the head will know more
            time.sleep(WAIT_S)
            return []
        done, _ = ray.wait(awaited, num_returns=1, timeout=WAIT_S)
        return [each for each in done if each in self._pool.calls]

    def _assign(self) -> None:
        """Give every idle worker its next task, if there is one."""
        while self._pool.idle and self._pool.scorers.ready and self._tasks.left:
            worker, task = self._pool.idle.pop(), self._tasks.take()
            if task.examine:
                self._pool.calls[worker.examine.remote(task.shard)] = Call(worker, task)
                continue
            scorer = self._pool.next_scorer()
            options = {"scorer": scorer} if scorer else {}
            score = worker.score.options(num_returns="streaming")
            reference = score.remote(task.shard, self._partial_rows(task.shard), **options)
            self._pool.calls[reference] = Call(worker, task, scorer)

    def _received(self, reference: Any, call: Call) -> list[ShardResult]:
        """What a call returns, or what its error leads to; after a partial result it goes on."""
        try:
            value = self._fetched(next(reference) if call.is_stream else reference)
        except RayTaskError as error:
            return self._raised(call, error.cause)
        except RayError as error:
            return self._ended(call, error)
        if call.task is None:
            self._pool.loaded(call.worker)
            return []
        if call.is_stream and (problem := self._problem(call.task.shard, value)):
            self._pool.unusable(call.worker, problem)
            return list(self._tasks.lost(call.task))
        self._losses.result()
        if call.is_stream and value.is_partial:
            call.advanced |= len(value.segments) > 0
            self._pool.calls[reference] = call
            return [value]
        self._pool.free(call.worker)
        return list(self._tasks.examined(call.task, value)) if call.task.examine else [value]

    def _fetched(self, reference: Any) -> Any:
        """A value that is here, or on its way from another node."""
        while True:
            try:
                return ray.get(reference, timeout=WAIT_S)
            except GetTimeoutError:
                self._check()

    def _problem(self, shard: Shard, result: ShardResult) -> Exception | None:
        """Why a node of a cluster cannot do this job, though it does not know."""
        return unseen(shard, result) if self._nodes else None

    def _raised(self, call: Call, cause: Exception) -> list[ShardResult]:
        if call.task is None:
            self._pool.unusable(call.worker, cause)
            return []
        if isinstance(cause, Incomplete):
            raise cause
        self._pool.free(call.worker)
        if not isinstance(cause, NoScorer):
            return list(self._tasks.raised(call.task, cause))
        self._losses.lost(f"a scorer: {cause.message}")
        if self._pool.scorers.doubt(call.scorer) and cause.ended:
            return list(self._tasks.died(call.task, advanced=call.advanced))
        return list(self._tasks.lost(call.task))

    def _ended(self, call: Call, error: RayError) -> list[ShardResult]:
        """Replace a worker; where it is not known what ended it, wait until the head knows."""
        end = end_of(error)
        if end is End.START:
            found = RuntimeError(last_line(error))
            cause = start_problem("a worker", error) if self._nodes else found
            self._pool.unusable(call.worker, cause)
            return []
        if end is End.UNKNOWN:
            self._unreachable.append(_Unreachable(call))
            return []
        return self._settled(call, end)

    def _lost(self) -> Iterator[ShardResult]:
        """Settle the calls of workers that could not be reached."""
        for each in list(self._unreachable):
            end = None
            if self._nodes is None or self._nodes.answers:
                end = recorded_end(each.call.worker)
            if end is None and time.monotonic() - each.since > UNREACHABLE_S:
                end = End.SYSTEM
            if end is not None:
                self._unreachable.remove(each)
                yield from self._settled(each.call, end)

    def _settled(self, call: Call, end: End) -> list[ShardResult]:
        """What follows for a task whose worker was ended by its process, or by the system."""
        if end is not End.PROCESS:
            self._note_loss(call, end)
        self._pool.end(call.worker)
        if end is not End.PROCESS:
            return list(self._tasks.lost(call.task)) if call.task else []
        if call.task is not None:
            return list(self._tasks.died(call.task, advanced=call.advanced))
        self._pool.died_loading()
        return []

    def _note_loss(self, call: Call, end: End) -> None:
        """Report what is known of it, once for each node: there may be hundreds of workers."""
        node = node_of(call.worker) if self._nodes and self._nodes.answers else ""
        if self._nodes and node and node not in self._nodes.alive:
            end = End.NODE
        found = LOSSES[end].format(self._nodes.name(node) if self._nodes else "this machine")
        self._losses.lost(found)
        if node and (node, end) not in self._reported:
            self._reported.add((node, end))
            again = "; its task is done again" if call.task else ""
            if end is End.NODE:
                again = "; what its workers were at is done again"
            self._notice(f"{found}{again}")

    def _overdue(self) -> Iterator[ShardResult]:
        """End the workers of files that take too long; an examination has limits of its own."""
        now = time.monotonic()
        for reference, call in list(self._pool.calls.items()):
            task = call.task
            if task and not task.examine and now - call.started > self._limit_s:
                del self._pool.calls[reference]
                self._pool.end(call.worker)
                yield from self._tasks.overran(task)


def _no_rows(_: Shard) -> Mapping[str, Any]:
    return {}


def _to_standard_error(text: str) -> None:
    print(text, file=sys.stderr)


def execute(
    shards: Iterator[Shard],
    workers: Workers,
    stop: OrderlyStop,
    partial_rows: PartialRows = _no_rows,
    nodes: Nodes | None = None,
    notice: Notice = _to_standard_error,
) -> Iterator[ShardResult]:
    """Results in the order in which they are done; `nodes` are those of a cluster.

    Raises:
        Incomplete: the job cannot go on now; what was returned before is right.
        UsageError: no node of the cluster can do it.
    """
    yield from _Executor(shards, workers, stop, partial_rows, nodes, notice)
