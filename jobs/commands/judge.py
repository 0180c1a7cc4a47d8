"""`batch-ser judge`."""

from typing import Annotated

import typer

from jobs.commands.exits import exit_codes


def judge(
    out: Annotated[str, typer.Argument(help="What --out was.")],
    labels: Annotated[str, typer.Option("--labels", help="What import-labels wrote.")],
    dest: Annotated[
        str | None, typer.Option(help="Folder for the report; default: OUT's name and .judge.")
    ] = None,
    precision: Annotated[
        float, typer.Option(help="Wanted precision, as a share: its thresholds are stated.")
    ] = 0.8,
) -> None:
    """How good an output is by labels of people, and how frequent emotions are in the archive."""
    with exit_codes():
        from jobs.judge import judge as judge_output

        typer.echo(judge_output(out, labels, dest, precision).as_text())
