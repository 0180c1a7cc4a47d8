"""The arguments of every command, checked before they are parsed."""

from collections.abc import Iterator, Sequence
from typing import Any

from typer.core import TyperGroup

from batch_ser.addresses import refuse_secrets
from jobs.commands.exits import exit_codes


class Arguments(TyperGroup):
    """All commands; no message of theirs, and nothing that they write, repeats a secret."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        with exit_codes():
            refuse_secrets(_by_option(args))
        rest: list[str] = super().parse_args(ctx, args)
        return rest


def _by_option(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every argument with the option that it belongs to, as far as can be seen without parsing."""
    option = ""
    for argument in arguments:
        if argument.startswith("-"):
            option, _, value = argument.partition("=")
            yield "an argument", argument
            yield option, value
        else:
            yield option or "an argument", argument
            option = ""
