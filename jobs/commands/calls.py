"""`batch-ser calls`."""

from typing import Annotated

import typer

from jobs.commands.exits import exit_codes


def calls(
    out: Annotated[str, typer.Argument(help="What --out was.")],
    by: Annotated[
        str | None, typer.Option(help="COLUMN,...: groups of calls by the values of columns.")
    ] = None,
    positive: Annotated[
        str | None, typer.Option(help="Labels that raise a score, such as happy,calm.")
    ] = None,
    negative: Annotated[str | None, typer.Option(help="Labels that lower a score.")] = None,
) -> None:
    """One row a call: who talks when, how emotions change, and the means of groups of calls."""
    with exit_codes():
        from jobs.calls import make_calls

        columns = [each.strip() for each in (by or "").split(",") if each.strip()]
        typer.echo(make_calls(out, columns, positive, negative).as_text())
