"""A worker process: what it loads, and what a driver asks it to do.

On a cluster, each node has an installation of its own, which may be another version.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from batch_ser import SCORES_VERSION, __version__
from batch_ser.archives import OpenArchives
from batch_ser.errors import CheckpointError, FileError, UsageError
from jobs.disposable import examine
from jobs.ray_scoring import RemoteScorer, ScorerLost
from jobs.sharding import Shard
from jobs.worker import Fetching, ShardResult, ShardSettings, score_shard
from models import Checkpoint


@dataclass(frozen=True)
class Program:
    """What scores depend on, beside the settings: it must be the same in driver and workers."""

    checkpoint_sha256: str
    version: str = __version__
    scores_version: int = SCORES_VERSION

    def check(self) -> None:
        """Check what is installed here, before a checkpoint is loaded.

        Raises:
            UsageError: it is another version.
        """
        if (__version__, SCORES_VERSION) != (self.version, self.scores_version):
            raise UsageError(
                f"found batch-ser {__version__} (scores version {SCORES_VERSION}), expected "
                f"{self.version} ({self.scores_version}), which the command has; install the "
                "same on all nodes"
            )

    def check_checkpoint(self, model: str, digest: str) -> None:
        """Check the checkpoint that has been loaded here.

        Raises:
            CheckpointError: it is another one.
        """
        if digest != self.checkpoint_sha256:
            raise CheckpointError(
                f"--model {model}: found a checkpoint with the SHA-256 {digest[:12]}..., expected "
                f"{self.checkpoint_sha256[:12]}..., which the command has; copy it to all nodes"
            )


@dataclass(frozen=True)
class Workers:
    """The worker processes of a job: how many, what each loads, and what it may use."""

    count: int | None  # None: as many as fit into the cluster
    model: str
    device: str
    settings: ShardSettings
    file_timeout_s: float
    address: str | None = None
    cpus_per_worker: float = 1.0
    gpus_per_worker: float = 0.0  # of each scorer, where there are any
    scorers: int = 0  # processes that score for all workers; 0: each worker scores by itself
    program: Program | None = None  # that workers must have; None: there is one on this machine


def load_for(workers: Workers, device: str) -> Checkpoint:
    """The checkpoint of a job, in a process of its own.

    Raises:
        UsageError: this node has another program, another checkpoint, none, or no GPU.
    """
    program, model = workers.program, workers.model
    if program:
        program.check()
    import torch

    from models import load_checkpoint
    from models.device import usable_device

    # by default oneDNN keeps the kernels of a thousand shapes, and segments have all lengths:
    # measured, a worker grew by 5 MB a batch. Eight are as fast.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8")
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(model, usable_device(device))
    if program:
        program.check_checkpoint(model, checkpoint.digest)
    return checkpoint


class Worker:
    """One process with one checkpoint."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._archives = OpenArchives()  # of all shards: some are read forward

    @property
    def settings(self) -> ShardSettings:
        return self._workers.settings

    def load(self) -> None:
        """Load the checkpoint; an error here is raised in the driver as it is.

        Raises:
            UsageError: this node has another program, another checkpoint, none, or no GPU.
        """
        device = "cpu" if self._workers.scorers else self._workers.device
        self._checkpoint = load_for(self._workers, device)

    def score(
        self, shard: Shard, stored: Mapping[str, pa.Table], scorer: Any = None
    ) -> Iterator[ShardResult]:
        """The results of a shard; of segments with `stored` rows these.

        `scorer` is the actor that scores the others, if there are any.

        Raises:
            NoScorer: it does not answer.
        """
        score = None
        if scorer:
            embed = self.settings.schemas.embedding_width > 0
            limit_s = self._workers.file_timeout_s
            score = RemoteScorer(scorer, embed=embed, file_timeout_s=limit_s)
        archives = self._archives
        try:
            yield from score_shard(
                shard, self._checkpoint, self.settings, stored, archives, score=score
            )
        except ScorerLost as lost:
            raise lost.reason from None

    def examine(self, shard: Shard) -> dict[int, FileError]:
        """The files of a shard that end every process that decodes them, by their position."""
        reading, limit_s = self._workers.settings.reading, self._workers.file_timeout_s
        with ExitStack() as stack:
            numbered = dict(Fetching(shard, self._archives).all_local(stack))
            found = examine(list(numbered.values()), reading, limit_s)
        numbers = list(numbered)
        return {numbers[position]: error for position, error in found.items()}
