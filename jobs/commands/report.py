"""`batch-ser report`."""

from typing import Annotated

import typer

from jobs.commands.exits import exit_codes


def report(
    out: Annotated[str, typer.Argument(help="What --out was.")],
    html: Annotated[str, typer.Option("--html", help="The file to write, such as report.html.")],
    audio: Annotated[
        str | None,
        typer.Option(help="Folder that the names of recordings start at: clips are cut of them."),
    ] = None,
    by: Annotated[
        str | None, typer.Option(help="COLUMN,...: groups of calls by the values of columns.")
    ] = None,
    clips: Annotated[
        int, typer.Option(help="0 to 200 clips of the loudest anger, and as many drawn at random.")
    ] = 20,
) -> None:
    """One HTML file that opens offline: calls, groups, days, and clips to listen to."""
    with exit_codes():
        from jobs.html_report import ReportOptions, make_report

        columns = None
        if by is not None:
            columns = [each.strip() for each in by.split(",") if each.strip()]
        options = ReportOptions(html, audio, columns, clips)
        typer.echo(make_report(out, options).as_text())
