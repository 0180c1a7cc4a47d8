"""`batch-ser status`."""

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.commands.exits import exit_codes

if TYPE_CHECKING:
    from jobs.status import Status

LOG_EVERY_S = 60.0
LOOK_EVERY_S = 5.0


def status(
    out: Annotated[str, typer.Argument(help="What --out is.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Again and again, as long as a driver is at work.")
    ] = False,
) -> None:
    """How far a job is, what failed, and what to do; it only reads."""
    with exit_codes():
        from jobs.recovery import storage_errors
        from jobs.status import NoOutput, Watch

        watched = Watch(out)
        with storage_errors(watched.output):
            found = watched.look()
            if not watch:
                typer.echo(_as_text(found, as_json=as_json))
                return
            printer = _Printer(as_json=as_json)
            printer.show(found)
            while found.is_active:
                time.sleep(LOOK_EVERY_S)
                try:
                    found = watched.look()
                except NoOutput as nothing:  # the driver ended before it had begun
                    typer.echo(str(nothing))
                    return
                printer.show(found)


class _Printer:
    """Prints a status again: on a terminal in its place, else a line a minute and the last."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._in_place = sys.stdout.isatty() and not as_json
        self._lines = 0
        self._next_s = 0.0

    def show(self, found: "Status") -> None:
        if self._in_place:
            width = shutil.get_terminal_size().columns - 1  # a longer line would take two
            lines = [line[:width] for line in _as_text(found, as_json=False).split("\n")]
            up = f"\x1b[{self._lines}F\x1b[J" if self._lines else ""
            self._lines = len(lines)
            typer.echo(up + "\n".join(lines))
        elif not found.is_active and not self._as_json:
            typer.echo(_as_text(found, as_json=False))
        elif not found.is_active or time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + LOG_EVERY_S
            typer.echo(_as_line(found, as_json=self._as_json))


def _as_text(found: "Status", *, as_json: bool) -> str:
    from jobs.status_text import as_lines

    return json.dumps(found.as_json(), indent=1) if as_json else "\n".join(as_lines(found))


def _as_line(found: "Status", *, as_json: bool) -> str:
    from jobs.status_text import as_line

    return json.dumps(found.as_json()) if as_json else as_line(found)
