"""Results on their way into committed parts; only the driver does this."""

import time
from collections import Counter
from collections.abc import Callable

import pyarrow as pa

from batch_ser.results import CommittedParts
from jobs.worker import ShardResult

COMMIT_EVERY_S = 30.0
COMMIT_BYTES = 128_000_000


class Committer:
    """Collects results and commits them: the first at once, then every 30 s or 128 MB."""

    def __init__(self, committed: CommittedParts, check: Callable[[], None]) -> None:
        """`check` raises where another driver has taken over, or the output is gone."""
        self.stage_s: Counter[str] = Counter()
        self.peak_bytes = 0
        self._committed = committed
        self._check = check
        self._segments: list[pa.Table] = []
        self._files: list[pa.Table] = []
        self._bytes = 0
        self._last_commit = float("-inf")

    def add(self, result: ShardResult) -> None:
        """Take a result; commit what is collected if it is time."""
        self.stage_s.update(result.stage_s)
        self.peak_bytes = max(self.peak_bytes, result.peak_bytes)
        self._segments.append(result.segments)
        self._files.append(result.files)
        self._bytes += result.segments.nbytes + result.files.nbytes
        if time.monotonic() - self._last_commit >= COMMIT_EVERY_S or self._bytes >= COMMIT_BYTES:
            self.flush()

    def flush(self) -> None:
        """Commit what has been collected."""
        if not self._files:
            return
        self._check()
        segments = pa.concat_tables(self._segments).unify_dictionaries()
        files = pa.concat_tables(self._files)
        self._committed.commit(segments, files)
        self._segments, self._files, self._bytes = [], [], 0
        self._last_commit = time.monotonic()
