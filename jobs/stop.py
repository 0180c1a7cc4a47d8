"""SIGTERM, SIGINT and SIGHUP stop a job: finished files are committed first."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from batch_ser.errors import Stopped

NUMBERS = (signal.SIGTERM, signal.SIGINT)
STANDARD = (0, 1, 2)  # input, output, error


@contextmanager
def hang_up_blocked() -> Iterator[None]:
    """Inside, no SIGHUP comes, nor ever to processes that are started here; it comes afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class OrderlyStop:
    """Signals become `Stopped`: at once, or inside `deferred` at the next `check`.

    An exception that a handler raises inside Ray's compiled code can crash the process, so there
    the first signal is only noted. A second one stops the job at once.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._deferred = False

    @contextmanager
    def installed(self) -> Iterator["OrderlyStop"]:
        """Handle signals inside; only the main thread receives any."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.getsignal(number) for number in (*NUMBERS, signal.SIGHUP)}
        self.install()
        if before[signal.SIGHUP] is not signal.SIG_IGN:  # as nohup leaves it
            terminals = [number for number in STANDARD if os.isatty(number)]
            signal.signal(signal.SIGHUP, lambda *_: self._hang_up(terminals))
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
        second = self._number is not None
        self._number = number
        if second or not self._deferred:
            raise Stopped(number)

    def _hang_up(self, terminals: Iterable[int]) -> None:
        """Go on as after SIGTERM, without the terminal: what writes there would fail."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a shell and the kernel may each send one
        nowhere = os.open(os.devnull, os.O_RDWR)
        for number in terminals:
            os.dup2(nowhere, number)
        os.close(nowhere)
        if callable(signal.getsignal(signal.SIGTERM)):  # also that of the library that serves
            signal.raise_signal(signal.SIGTERM)
        else:  # Ray starts or ends
            self._handle(signal.SIGTERM, None)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Inside, the first signal waits for `check`; it stops the job at the end at the latest."""
        self._deferred = True
        try:
            yield
        except SystemExit as error:  # SIGTERM, by a handler that Ray installed
            raise Stopped(signal.SIGTERM) from error
        finally:
            self._deferred = False
        self.check()

    def check(self) -> None:
        """Stop here if there was a signal.

        Raises:
            Stopped: there was one.
        """
        if self._number is not None:
            raise Stopped(self._number)
