"""Signals that stop a job in order."""

import os
import signal
from collections.abc import Callable, Iterator

import pytest

from batch_ser.errors import Stopped
from jobs.stop import OrderlyStop


@pytest.fixture
def hang_up() -> Iterator[None]:
    """What the tests do to SIGHUP is undone."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_up")
def test_a_terminal_that_is_closed_stops_a_job_as_sigterm_does() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests may run under nohup
    with OrderlyStop().installed(), pytest.raises(Stopped) as stopped:
        os.kill(os.getpid(), signal.SIGHUP)
    assert stopped.value.exit_code == 128 + signal.SIGTERM


def hung_up(before: Callable[[], object], times: int) -> None:
    """A job whose terminal is closed while it defers signals."""
    with OrderlyStop().installed() as stop, stop.deferred():
        before()
        for _ in range(times):
            os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.usefixtures("hang_up")
def test_a_second_hang_up_is_the_same_one() -> None:
    """A shell and the kernel each send one; the second of other signals stops a job at once."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with pytest.raises(Stopped) as stopped:
        hung_up(int, 3)
    assert stopped.traceback[-1].name == "check"


@pytest.mark.usefixtures("hang_up")
def test_a_hang_up_while_ray_has_the_handlers_stops_a_job_in_order() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    with pytest.raises(Stopped):
        hung_up(lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL), 1)


@pytest.mark.usefixtures("hang_up")
def test_a_job_under_nohup_goes_on() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with OrderlyStop().installed():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
