"""Signals that stop a job in order."""

import os
import signal
from collections.abc import Iterator

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


@pytest.mark.usefixtures("hang_up")
def test_a_job_under_nohup_goes_on() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with OrderlyStop().installed():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
