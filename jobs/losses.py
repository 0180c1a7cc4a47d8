"""What a job lost of the cluster that it runs on, and how long it goes on without a result.

Nodes that are taken away, fail or cannot be reached are nobody's fault: what their workers were at
is done again, without limit, as long as there are results.
"""

import time
from collections.abc import Callable

from batch_ser.errors import Incomplete

WITHOUT_RESULT_S = 600.0  # after a loss; results are committed within 30 s


class Losses:
    """Losses since the latest result."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._since_s: float | None = None  # of the first of them
        self._lost: list[str] = []

    def lost(self, what: str) -> None:
        """Note a loss; `what` states what became of which worker or scorer, for the message."""
        if self._since_s is None:
            self._since_s = self._clock_s()
        self._lost.append(what)

    def result(self) -> None:
        """Note that there is a result: what was lost before does not count any more."""
        self._since_s = None
        self._lost.clear()

    def check(self) -> None:
        """Check that there was a result not long after the first loss.

        Raises:
            Incomplete: there was none.
        """
        if self._since_s is None or self._clock_s() - self._since_s <= WITHOUT_RESULT_S:
            return
        raise Incomplete(
            f"workers or scorers were lost {len(self._lost)} times (the latest: {self._lost[-1]}), "
            f"and for {WITHOUT_RESULT_S:g} s there was no result; what was done before is "
            "committed, and the same command goes on when the cluster has nodes that stay"
        )
