"""A worker process: what it loads, and what a driver asks it to do."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pyarrow as pa

from batch_ser.archives import OpenArchives
from batch_ser.errors import FileError
from jobs.disposable import examine
from jobs.sharding import Shard
from jobs.worker import Fetching, ShardResult, ShardSettings, score_shard


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
    """One process with one checkpoint."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._archives = OpenArchives()  # of all shards: some are read forward

    @property
    def settings(self) -> ShardSettings:
        return self._workers.settings

    def load(self) -> None:
        """Load the checkpoint; an error here is raised in the driver as it is."""
        import torch

        from models import load_checkpoint

        # by default oneDNN keeps the kernels of a thousand shapes, and segments have all lengths:
        # measured, a worker grew by 5 MB a batch. Eight are as fast.
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
        torch.set_num_threads(1)
        self._checkpoint = load_checkpoint(self._workers.model, self._workers.device)

    def score(self, shard: Shard, stored: Mapping[str, pa.Table]) -> Iterator[ShardResult]:
        """The results of a shard; of segments with `stored` rows these."""
        yield from score_shard(shard, self._checkpoint, self.settings, stored, self._archives)

    def examine(self, shard: Shard) -> dict[int, FileError]:
        """The files of a shard that end every process that decodes them, by their position."""
        reading, limit_s = self._workers.settings.reading, self._workers.file_timeout_s
        with ExitStack() as stack:
            numbered = dict(Fetching(shard, self._archives).all_local(stack))
            found = examine(list(numbered.values()), reading, limit_s)
        numbers = list(numbered)
        return {numbers[position]: error for position, error in found.items()}
