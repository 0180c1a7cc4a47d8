"""The scorers of a job on Ray, which starts them again when they end, also on another node."""

from itertools import cycle
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from batch_ser.errors import Incomplete
from jobs.ray_ends import last_line
from jobs.scorer import CALLS_AT_ONCE, RETRIES, Scorer
from jobs.worker_process import Workers


class RayScorers:
    """All scorers of a job; each worker has one of them."""

    def __init__(self, workers: Workers) -> None:
        actor: Any = ray.remote(Scorer).options(
            num_cpus=0,  # with one, workers that wait for room would take it when a scorer ends
            num_gpus=workers.gpus_per_worker,
            max_restarts=-1,
            max_task_retries=RETRIES,
            max_concurrency=CALLS_AT_ONCE,
        )
        actors = [actor.remote(workers) for _ in range(workers.scorers)]
        self._loading = [each.ready.remote() for each in actors]
        self._actors = cycle(actors or [None])

    def one(self) -> Any:
        """That of the next worker; None where workers score by themselves."""
        return next(self._actors)

    def check(self) -> None:
        """Check that those which have started could load the checkpoint.

        Raises:
            BatchSerError: one could not.
        """
        if not self._loading:
            return
        done, self._loading = ray.wait(self._loading, num_returns=len(self._loading), timeout=0)
        try:
            ray.get(done)
        except RayTaskError as error:  # its own text has a traceback
            raise error.cause from None
        except RayActorError as error:
            raise Incomplete(f"a scorer cannot start: {last_line(error)}") from error
