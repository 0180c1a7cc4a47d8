"""Time and memory that a worker uses."""

import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Stages:
    """Seconds spent in each stage of a worker."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def take(self) -> Counter[str]:
        """The seconds since they were last taken."""
        taken, self.seconds = self.seconds, Counter()
        return taken

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - started  # type: ignore[assignment]


def peak_bytes() -> int:
    """The peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
