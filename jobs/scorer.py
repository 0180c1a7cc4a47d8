"""Scorers: processes with a network, which score what many workers decode.

One GPU scores what dozens of cores decode. With `--scorers`, workers on any CPU of a cluster open
recordings, cut and account for them, and send segments; batches go across workers. Segments are
sent in float32: in 16 bits they would move probabilities by more than 1e-4
(benchmarks/sample_bits.py).
"""

from collections.abc import Sequence

import numpy as np

from batch_ser.audio import Samples
from batch_ser.errors import BatchSerError
from jobs.batcher import Batcher
from jobs.ray_scoring import NoScorer
from jobs.worker_process import Workers, load_for
from models.batching import Outputs

CALLS_AT_ONCE = 64  # of workers: the batcher scores them together
RETRIES = 3  # of a call, each after the process that had it has ended


class Scorer:
    """A process with one checkpoint."""

    def __init__(self, workers: Workers) -> None:
        self._error: BatchSerError | None = None
        try:
            checkpoint = load_for(workers, workers.device)
        except BatchSerError as error:  # of a constructor, Ray would keep the text alone
            self._error = error
        else:
            self._batcher = Batcher(checkpoint, lambda *_: None)

    def ready(self) -> None:
        """Return when the checkpoint is loaded.

        Raises:
            BatchSerError: it cannot be.
        """
        if self._error:
            raise self._error

    def score(self, samples: Samples, lengths: Sequence[int], *, embed: bool) -> Outputs:
        """The outputs for segments of some lengths, one after the other in `samples` (n,)."""
        if self._error:
            raise NoScorer(str(self._error))
        # a copy: what Ray hands over is read-only, which torch does not take
        segments = np.split(samples.copy(), np.cumsum(lengths)[:-1])
        return self._batcher.submit(segments, embed=embed).result()
