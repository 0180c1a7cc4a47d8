"""`batch-ser import-labels`."""

from typing import Annotated

import typer

from jobs.commands.exits import exit_codes


def import_labels(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Label Studio's JSON, Audacity's label tracks, TextGrids, CSV, audformat.",
        ),
    ],
    results: Annotated[str, typer.Option("--results", help="What --out of the run was.")],
    dest: Annotated[str, typer.Option("--dest", help="The table to write, such as labels.csv.")],
    sample: Annotated[
        str | None,
        typer.Option(help="What --dest of sample was, if the files do not lie in it."),
    ] = None,
    annotator: Annotated[
        str | None,
        typer.Option(help="Whose labels, where a file does not state it; default: its name."),
    ] = None,
    words: Annotated[
        str | None,
        typer.Option("--map", help="LABEL=WORD+WORD,...: what words of annotators become."),
    ] = None,
) -> None:
    """Labels of people, matched with the segments of an output, as one table."""
    with exit_codes():
        from jobs.import_labels import import_labels as import_files

        report = import_files(files, results, dest, sample, annotator, words)
        typer.echo(report.as_text())
