"""The scorers of a job on Ray: where they start, which have loaded, and where they start again.

Ray starts a scorer that ends again, also on another node. One on a node that cannot do its job, at
its first start or at a later one, is given up: another starts on another node.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from batch_ser.errors import Incomplete
from jobs.ray_ends import End, end_of, last_line, node_of, start_problem
from jobs.ray_nodes import Nodes, elsewhere, refusal
from jobs.scorer import CALLS_AT_ONCE, RETRIES, Scorer
from jobs.worker_process import Workers


class RayScorers:
    """All scorers of a job; a worker is given one that has loaded, with each task."""

    def __init__(
        self, workers: Workers, nodes: Nodes | None, leave_out: Callable[[str, Exception], None]
    ) -> None:
        """`leave_out` takes the id of a node that cannot do the job, and why."""
        self.loading: dict[Any, Any] = {}  # scorers, by the calls that return when they have loaded
        self._loaded: list[Any] = []
        self._workers = workers
        self._nodes = nodes
        self._leave_out = leave_out
        self._left_out: set[str] = set()  # ids of nodes on which a scorer could not be
        self._actor: Any = ray.remote(Scorer)
        self._options: dict[str, Any] = {
            "num_cpus": 0,  # with one, workers that wait for room would take it when a scorer ends
            "num_gpus": workers.gpus_per_worker,
            "max_restarts": -1,
            "max_task_retries": RETRIES,
            "max_concurrency": CALLS_AT_ONCE,
        }
        for _ in range(workers.scorers):
            self._start()

    @property
    def ready(self) -> bool:
        """Whether workers can have tasks: one has loaded, or they score by themselves."""
        return bool(self._loaded) or not self._workers.scorers

    def least_used(self, used: Iterable[Any]) -> Any:
        """The one that occurs least often in `used`; None where workers score by themselves."""
        if not self._workers.scorers:
            return None
        number = Counter(map(id, used))
        return min(self._loaded, key=lambda scorer: number[id(scorer)], default=None)

    def doubt(self, scorer: Any) -> bool:
        """Give a scorer no more tasks until it is known to have loaded, where it is now.

        Returns whether it is one of these, and not one that was given up.
        """
        if scorer in self._loaded:
            self._loaded.remove(scorer)
            self.loading[scorer.ready.remote()] = scorer
            return True
        return scorer in self.loading.values()

    def check(self) -> None:
        """See which have loaded, and start those elsewhere that cannot.

        Raises:
            BatchSerError: there is no other place for a scorer.
        """
        if not self.loading:
            return
        done, _ = ray.wait(list(self.loading), num_returns=len(self.loading), timeout=0)
        for call in done:
            scorer = self.loading.pop(call)
            try:
                ray.get(call)
            except RayTaskError as error:  # its own text has a traceback
                self._unusable(scorer, error.cause)
            except RayError as error:
                self._ended(scorer, error)
            else:
                self._loaded.append(scorer)

    def _start(self) -> None:
        scorer = self._actor.options(**self._options, **elsewhere(self._left_out)).remote(
            self._workers
        )
        self.loading[scorer.ready.remote()] = scorer

    def _ended(self, scorer: Any, error: RayError) -> None:
        """One cannot be made, or ended again and again while it loaded."""
        end, found = end_of(error), last_line(error)
        if self._nodes is None:
            raise Incomplete(f"a scorer cannot start: {found}") from error
        if end is End.START:
            self._unusable(scorer, start_problem("a scorer", error))
        elif end is End.PROCESS:
            self._unusable(scorer, Incomplete(f"a scorer ended there while it loaded: {found}"))
        else:
            ray.kill(scorer)
            self._start()

    def _unusable(self, scorer: Any, cause: Exception) -> None:
        """Start another in place of one that cannot do its job where it is."""
        node = node_of(scorer) if self._nodes else ""
        ray.kill(scorer)
        if self._nodes is None or not node:
            raise cause from None
        self._left_out.add(node)
        gpus = self._workers.gpus_per_worker
        if not self._loaded and not self._nodes.has_place(gpus, self._left_out):
            raise refusal(self._nodes, node, cause) from cause
        self._leave_out(node, cause)
        self._start()
