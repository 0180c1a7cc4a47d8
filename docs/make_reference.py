"""docs/reference.md: what `--help` of every command prints, as Markdown: `make reference`."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer

from jobs.cli import app

REFERENCE = Path(__file__).with_name("reference.md")
HEAD = """# Reference

The usage, the arguments and the options of every command, made from the code by `make reference`:
what `batch-ser COMMAND --help` prints. [Commands](commands.md) explains them.
"""
TYPES = {str: "text", int: "integer", float: "number", bool: "flag", Path: "path"}


def reference() -> str:
    """The page."""
    commands: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    return "\n".join([HEAD, *(line for each in commands.items() for line in section(*each))])


def section(name: str, command: Any) -> Iterator[str]:
    """The lines of one command."""
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    usage = re.sub(r"\{([\w.]+?)(\.*)\}(\.*)", lambda found: f"{found[1].upper()}{found[3]}", usage)
    yield from (f"## {name}", "", f"`batch-ser {name} {usage}`", "")
    yield from (" ".join(command.help.split()), "")
    yield from ("| | type | default | meaning |", "|---|---|---|---|")
    hints = get_type_hints(inspect.unwrap(command.callback))
    for parameter in command.params:
        if parameter.name in hints:  # all but --help
            yield row(parameter, hints[parameter.name])
    yield ""


def row(parameter: Any, hint: Any) -> str:
    """One argument or option."""
    names = [*parameter.opts, *parameter.secondary_opts]
    if not names[0].startswith("-"):
        names = [names[0].upper()]
    cells = (", ".join(f"`{name}`" for name in names), type_of(hint), default_of(parameter))
    return f"| {' | '.join((*cells, escaped(parameter.help or '')))} |"


def type_of(hint: Any) -> str:
    """A type as a word."""
    if get_origin(hint) is list:
        return f"{type_of(get_args(hint)[0])}, repeatable"
    if hint in TYPES:
        return TYPES[hint]
    (inner,) = (each for each in get_args(hint) if each is not type(None))
    return type_of(inner)


def default_of(parameter: Any) -> str:
    """A default value as a cell."""
    default = parameter.default
    if parameter.required:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def escaped(text: str) -> str:
    """Text that a table of Markdown shows as it is."""
    for character in ("|", "<", "*"):
        text = text.replace(character, "\\" + character)
    return text


if __name__ == "__main__":
    REFERENCE.write_text(reference(), encoding="utf-8")
