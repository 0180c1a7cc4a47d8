"""`batch-ser sample`."""

from typing import Annotated

import typer

from jobs.commands.exits import exit_codes


def sample(
    out: Annotated[str, typer.Argument(help="What --out was.")],
    to: Annotated[str, typer.Option(help="label-studio, audacity, audformat, csv or hf.")],
    dest: Annotated[str, typer.Option(help="The folder to write, empty or of an earlier sample.")],
    n: Annotated[int, typer.Option("--n", help="How many tasks.")] = 500,
    per_label: Annotated[
        bool, typer.Option("--per-label", help="As many of each predicted label.")
    ] = False,
    uncertain: Annotated[
        float, typer.Option(help="Share from segments of which the labels are least certain.")
    ] = 0.0,
    uniform: Annotated[float, typer.Option(help="Share drawn uniformly from all segments.")] = 0.2,
    by: Annotated[str | None, typer.Option(help="A column: as many of each of its values.")] = None,
    audio: Annotated[
        str | None,
        typer.Option(help="Folder that the names of recordings start at: clips are cut of them."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw.")] = 0,
) -> None:
    """Draw segments for annotators: a clip a task, with weights, for several programs."""
    with exit_codes():
        from jobs.sample import SampleOptions, Shares, make_sample

        shares = Shares(n, uniform, uncertain, per_label)
        options = SampleOptions(dest, to, shares, by, audio, seed)
        typer.echo(make_sample(out, options).as_text())
