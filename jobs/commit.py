"""Results on their way into committed parts; only the driver does this."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

import pyarrow as pa

from batch_ser.inputs import InputFile
from batch_ser.results import CommittedParts, times_and_scores
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
        self._results: list[ShardResult] = []
        self._partial: dict[str, list[ShardResult]] = {}  # by the name of the file
        self._bytes = 0
        self._last_commit = float("-inf")

    def add(self, result: ShardResult) -> None:
        """Take a result; commit what is collected if it is time."""
        self.stage_s.update(result.stage_s)
        self.peak_bytes = max(self.peak_bytes, result.peak_bytes)
        if result.is_partial:
            self._add_partial(result)
        else:
            self._results.append(result)
            for name in result.files["file"].to_pylist():
                self._partial.pop(name, None)
        self._bytes += result.segments.nbytes + result.files.nbytes + result.speech.nbytes
        if time.monotonic() - self._last_commit >= COMMIT_EVERY_S or self._bytes >= COMMIT_BYTES:
            self.flush()

    def _add_partial(self, result: ShardResult) -> None:
        if len(result.segments):  # without any there is nothing that need not be done again
            [name] = result.files["file"].to_pylist()
            self._partial.setdefault(name, []).append(result)

    def partial_rows(self, files: Iterable[InputFile]) -> dict[str, pa.Table]:
        """Rows of segments that partial results had, committed or collected, by name of the file.

        Files of which there are none are left out.
        """
        found = {}
        for file in files:
            rows = self._committed.partial_rows(file.file, file.version)
            results = self._partial.get(file.file, ())
            rows += [each.segments for each in results if each.version == file.version]
            if rows:
                found[file.file] = pa.concat_tables(map(times_and_scores, rows))
        return found

    def flush(self) -> None:
        """Commit what has been collected; rows of partial results in a part of their own."""
        partial = [result for results in self._partial.values() for result in results]
        if partial or self._results:
            self._check()
        self._commit(partial)
        self._commit(self._results)
        self._results, self._partial, self._bytes = [], {}, 0

    def _commit(self, results: list[ShardResult]) -> None:
        if results:
            segments, speech = (
                pa.concat_tables(tables).unify_dictionaries()
                for tables in zip(*((each.segments, each.speech) for each in results), strict=True)
            )
            files = pa.concat_tables(each.files for each in results)
            self._committed.commit(segments, files, speech)
            self._last_commit = time.monotonic()
