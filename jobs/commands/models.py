"""`batch-ser models`."""

import json
from typing import Annotated

import typer

from jobs.commands.exits import exit_codes


def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The architectures with their parameter counts, and the shipped checkpoints."""
    with exit_codes():
        from models.listing import as_text, listing

        found = listing()
        typer.echo(json.dumps(found, indent=1) if as_json else as_text(found))
