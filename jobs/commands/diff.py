"""`batch-ser diff`."""

import json
from typing import Annotated

import typer

from jobs.commands.exits import exit_codes


def diff(
    left: Annotated[str, typer.Argument(help="What --out of one run was.")],
    right: Annotated[str, typer.Argument(help="What --out of the other was.")],
    by: Annotated[
        str | None, typer.Option(help="A column: agreement also by each of its values.")
    ] = None,
    most: Annotated[
        int, typer.Option(min=0, help="How many of the segments that moved most are listed.")
    ] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two outputs of the same recordings, segment by segment."""
    with exit_codes():
        from jobs.diff import diff as compare
        from jobs.diff_text import as_text

        found = compare(left, right, by, most)
        if as_json:
            content = {"left": left, "right": right, "by": by} | found.as_json()
            typer.echo(json.dumps(content, indent=1))
        else:
            typer.echo(as_text(found, left, right, by))
