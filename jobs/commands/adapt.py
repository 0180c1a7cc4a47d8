"""`batch-ser adapt`."""

from typing import Annotated

import typer

from jobs.commands.exits import end_with, exit_codes
from jobs.commands.options import Adapt, AdaptFrom, Expect, NamePattern


def adapt(
    out: Annotated[str, typer.Argument(help="What --out was.")],
    adapt: Adapt = None,
    expect: Expect = None,
    adapt_from: AdaptFrom = None,
    name_pattern: NamePattern = None,
    model: Annotated[
        str | None, typer.Option(help="The checkpoint of the run, where it is elsewhere now.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Make new tables of an output from its embeddings, without audio; what is not given stays."""
    with exit_codes():
        from jobs.adapt import adapt_again

        report = adapt_again(out, adapt, expect, model, adapt_from, name_pattern)
        end_with(report, as_json=as_json)
