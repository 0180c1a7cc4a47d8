"""SIGTERM and SIGINT end a job in order: what is done is committed first."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from batch_ser.errors import Stopped

NUMBERS = (signal.SIGTERM, signal.SIGINT)


class OrderlyStop:
    """Signals become `Stopped`: at once, or where `deferred` code asks for them with `check`.

    An exception that a handler raises inside Ray's compiled code can crash the process, so there
    the first signal only leaves a mark. A second one is obeyed at once.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._deferred = False

    @contextmanager
    def installed(self) -> Iterator["OrderlyStop"]:
        """Answer signals inside; outside of the main thread there are none to answer."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in NUMBERS}
        self.install()
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def install(self) -> None:
        """Put the handlers (back) in place: Ray replaces them when it starts and when it ends."""
        if threading.current_thread() is threading.main_thread():
            for number in NUMBERS:
                signal.signal(number, self._handle)

    def _handle(self, number: int, _: object) -> None:
        impatient = self._number is not None
        self._number = number
        if impatient or not self._deferred:
            raise Stopped(number)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, the first signal waits for `check`; afterwards it is answered."""
        self._deferred = True
        try:
            yield
        except SystemExit as error:  # SIGTERM, answered by a handler that Ray put there
            raise Stopped(signal.SIGTERM) from error
        finally:
            self._deferred = False
        self.check()

    def check(self) -> None:
        """Stop here if a signal has asked for it.

        Raises:
            Stopped: one has.
        """
        if self._number is not None:
            raise Stopped(self._number)
