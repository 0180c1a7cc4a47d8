"""Exit statuses: each error becomes one line on standard error and a documented number."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn, Protocol

import typer

from batch_ser.errors import AlreadyRunning, Incomplete, Stopped, UsageError

NOT_COMPLETE, USAGE, FAILED_FILES, INTERRUPTED = 1, 2, 3, 130
STANDARD_ERROR = 2
STOPPED = "stopped by a signal"
RESUMABLE = f"{STOPPED}; the same command goes on from here"


class Report(Protocol):
    """What became of an output, and the exit status that states it."""

    @property
    def exit_code(self) -> int: ...

    def as_text(self) -> str: ...

    def as_json(self) -> str: ...


def end_with(report: Report, *, as_json: bool) -> NoReturn:
    """Print a report, and end with its status."""
    typer.echo(report.as_json() if as_json else report.as_text())
    raise typer.Exit(report.exit_code)


@contextmanager
def exit_codes(*, resumable: bool = False) -> Iterator[None]:
    """Inside, an error becomes one line on standard error, and its exit status.

    A command that is `resumable` goes on where a signal stopped it.
    """
    stopped = RESUMABLE if resumable else STOPPED
    try:
        with _terminable(stopped):
            yield
    except UsageError as error:
        _fail(str(error), USAGE)
    except (AlreadyRunning, Incomplete) as error:
        _fail(str(error), NOT_COMPLETE)
    except Stopped as stop:
        _fail(stopped, stop.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)


@contextmanager
def _terminable(message: str) -> Iterator[None]:
    """Let SIGTERM end the process at once, with its status, unless a job handles it.

    While modules are imported and inputs listed there is nothing to commit, and an exception that
    a handler raises there could be swallowed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: _terminate(number, message))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, message: str) -> None:
    with suppress(RuntimeError, OSError, ValueError):  # in the middle of a print, or closed
        sys.stdout.flush()
    with suppress(OSError):
        os.write(STANDARD_ERROR, f"batch-ser: {message}\n".encode())
    os._exit(128 + number)


def _fail(message: str, status: int) -> None:
    typer.echo(f"batch-ser: {message}", err=True)
    raise typer.Exit(status)
