"""Exit statuses: each error becomes one line on standard error and a documented number."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from batch_ser.errors import AlreadyRunning, Incomplete, Stopped, UsageError

NOT_COMPLETE, USAGE, FAILED_FILES, INTERRUPTED = 1, 2, 3, 130


@contextmanager
def exit_codes() -> Iterator[None]:
    """Inside, an error becomes one line on standard error, and its exit status."""
    try:
        yield
    except UsageError as error:
        _fail(str(error), USAGE)
    except (AlreadyRunning, Incomplete) as error:
        _fail(str(error), NOT_COMPLETE)
    except Stopped as stop:
        _fail("stopped by a signal; the same command goes on from here", stop.exit_code)
    except KeyboardInterrupt:
        _fail("interrupted", INTERRUPTED)


def _fail(message: str, status: int) -> None:
    typer.echo(f"batch-ser: {message}", err=True)
    raise typer.Exit(status)
