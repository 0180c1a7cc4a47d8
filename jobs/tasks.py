"""What the workers of a job do next, and what follows when one ends before its task is done.

When a worker dies, its files are examined in child processes (`jobs/disposable.py`), which are
the only evidence that convicts a file of a crash. The others are scored again, each alone. A file
at which workers keep ending, though it can be decoded, gets a bounded number of tries: it may need
more memory than there is, or crash the network. What is lost with its node counts against nobody.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from batch_ser.errors import FileError, Reason
from batch_ser.inputs import InputFile
from batch_ser.results import TableSchemas
from jobs.sharding import Shard
from jobs.worker import ShardResult, failed

# of workers at one file, alone: a worker that is killed while it does one file in three, for
# reasons outside, ends eight times in a row at one in 6,561
MAX_DEATHS = 8
MAX_OVERDUE = 2
# the rows of partial results that there are of a shard's files when a worker begins with it
PartialRows = Callable[[Shard], Mapping[str, pa.Table]]


@dataclass(frozen=True)
class Task:
    """What a worker does in one call: score a shard, or examine it."""

    shard: Shard
    examine: bool = False
    deaths: int = 0  # of workers at this file alone, in a row without a new segment
    overdue: int = 0  # how often this file alone took too long


class Tasks:
    """All tasks of a job. Those that are repeated come first: what is wrong shows soon."""

    def __init__(
        self, shards: Iterator[Shard], schemas: TableSchemas, file_timeout_s: float
    ) -> None:
        self._shards = shards
        self._schemas = schemas
        self._file_timeout_s = file_timeout_s
        self._next: deque[Task] = deque()
        self._is_exhausted = False  # there are no more shards

    @property
    def left(self) -> bool:
        """Whether there is a task to take."""
        if not self._next and not self._is_exhausted:
            if (shard := next(self._shards, None)) is not None:
                self._next.append(Task(shard))
            else:
                self._is_exhausted = True
        return bool(self._next)

    @property
    def waiting(self) -> int | None:
        """How many tasks no worker has; None where there may be more than are known."""
        return None if self.left and not self._is_exhausted else len(self._next)

    def take(self) -> Task:
        """The next task, if there is one left."""
        assert self.left
        return self._next.popleft()

    def examined(self, task: Task, convicted: Mapping[int, FileError]) -> Iterator[ShardResult]:
        """Of an examination the rows of what is convicted; all other files are scored, alone."""
        for number, file in enumerate(task.shard):
            if error := convicted.get(number):
                yield self._failed(file, error)
            else:
                self._next.append(replace(task, shard=[file], examine=False))

    def died(self, task: Task, *, advanced: bool = False) -> Iterator[ShardResult]:
        """The worker of a task ended: examine what it scored, or score what it examined.

        Where it had `advanced`, by segments that need not be scored again, tries are counted anew:
        a long recording gets done, however often its workers are killed.
        """
        if len(task.shard) > 1:
            if task.examine:
                yield from self.examined(task, {})
            else:
                self._next.append(replace(task, examine=True))
            return
        deaths = 1 if advanced else task.deaths + 1
        task = replace(task, deaths=deaths, examine=not task.examine)
        if task.deaths < MAX_DEATHS:
            self._next.append(task)
            return
        message = (
            f"{task.deaths} workers ended while they did this recording alone, though decoding "
            "does not crash: not enough memory, or a fault outside the decoder"
        )
        yield self._failed(task.shard[0], FileError(Reason.INTERNAL_ERROR, message))

    def lost(self, task: Task) -> Iterator[ShardResult]:
        """A task's worker was lost through no fault of its files, with its node: do it again.

        Neither counted nor examined, however often: `Losses` ends a job that does not get on.
        """
        self._next.append(task)
        return iter(())

    def overran(self, task: Task) -> Iterator[ShardResult]:
        """A task took longer than a file may: decoding is examined, and scoring tried again."""
        if len(task.shard) == 1:
            task = replace(task, overdue=task.overdue + 1)
        if task.overdue < MAX_OVERDUE:
            self._next.append(replace(task, examine=True))
            return
        message = f"not done after {self._file_timeout_s:g} s (--file-timeout), twice"
        yield self._failed(task.shard[0], FileError(Reason.TIMEOUT, message))

    def raised(self, task: Task, cause: Exception) -> Iterator[ShardResult]:
        """A worker raised an error: a file alone fails by it, unless it was not even examined."""
        if len(task.shard) > 1 or task.examine:
            yield from self.examined(task, {})
            return
        error = FileError(Reason.INTERNAL_ERROR, f"{cause!r}; please report this")
        yield self._failed(task.shard[0], error)

    def _failed(self, file: InputFile, error: FileError) -> ShardResult:
        return failed(file, self._schemas, error)
