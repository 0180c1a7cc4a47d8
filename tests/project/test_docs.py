"""The documents are complete and true: commands, options, columns, reasons, exit codes, tree."""

import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from conftest import REPOSITORY
from documents import Block, blocks, pages, read, rows, section

from batch_ser.errors import Reason, Stopped
from batch_ser.results import TableSchemas
from jobs.cli import app
from jobs.commands import exits

PACKAGES = ("batch_ser", "models", "train", "jobs")
README_BYTES = 9_000
FIRST_SCREEN = 25  # lines
COMMANDS: dict[str, Any] = dict(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
BLOCKS = [block for page in pages() for block in blocks(page)]


def options(command: str) -> Iterator[tuple[str, Any]]:
    """The long names of a command's options, with their defaults."""
    for parameter in COMMANDS[command].params:
        for name in parameter.opts:
            if name.startswith("--") and name != "--help":
                yield name, parameter.default


def test_readme_is_short_and_states_the_licence_of_the_weights_first() -> None:
    text = read("README.md")
    assert len(text.encode()) <= README_BYTES
    assert "LICENSE-WEIGHTS.md" in "\n".join(text.splitlines()[:FIRST_SCREEN])


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_in_its_section(command: str) -> None:
    documented = {
        name: cells[1]
        for cells in rows(section(read("docs/commands.md"), f"## {command}"))
        for name in re.findall(r"`(--[a-z0-9-]+)`", cells[0])
    }
    assert set(documented) == {name for name, _ in options(command)}
    for name, default in options(command):
        if isinstance(default, str | int | float) and not isinstance(default, bool) and default:
            text = f"{default:g}" if isinstance(default, float) else str(default)
            assert documented[name].strip("`") == text, name
        if default is False:
            assert documented[name] == "off", name


def test_every_command_is_shown_in_a_block() -> None:
    shown = {arguments[0] for block in BLOCKS for arguments in block.commands()}
    assert set(COMMANDS) <= shown


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.page)
def test_every_command_line_is_accepted(block: Block) -> None:
    for name, *arguments in block.commands():
        assert name in COMMANDS, name
        COMMANDS[name].make_context(name, arguments)  # parses; raises on what is not known


def columns_of(heading: str) -> set[str]:
    text = section(read("docs/tables.md"), heading)
    return {name for cells in rows(text) for name in re.findall(r"`(\w+)`", cells[0])}


def test_every_column_is_in_its_table() -> None:
    schemas = TableSchemas(("neutral",), embedding_width=1, given=True)
    assert columns_of("## Segments") == set(schemas.segments.names)
    assert set(schemas.files.names) <= columns_of("## Files")


def test_every_reason_is_in_its_table() -> None:
    assert columns_of("### Reasons") == {reason.value for reason in Reason}


def test_exit_codes_are_in_their_table() -> None:
    table = section(read("docs/resume.md"), "## Exit status")
    for status in (0, exits.NOT_COMPLETE, exits.USAGE, exits.FAILED_FILES):
        assert f"\n| {status} |" in table
    signals = [Stopped(number).exit_code for number in (signal.SIGINT, signal.SIGTERM)]
    assert f"| {signals[0]}, {signals[1]} |" in table


def test_the_annotated_tree_is_the_tree() -> None:
    tree = section(read("docs/design.md"), "## The tree").split("```")[1]
    named: set[str] = set()
    folders: list[str] = []
    for line in tree.strip().splitlines():
        name = line.split()[0]
        assert len(line.split()) > 1, f"{name}: no phrase"
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name]
        named.add("".join(folders))
    present = {
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {name for name in named if name.endswith(".py")} == present
    assert all((REPOSITORY / name).exists() for name in named)


def test_contributing_names_files_that_exist() -> None:
    named = re.findall(r"`([\w.-]+/[\w/.-]+\.(?:py|md))`(, new)?", read("CONTRIBUTING.md"))
    assert named
    for name, new in named:
        assert (REPOSITORY / name).exists() != bool(new), name


def test_the_glossary_is_in_order() -> None:
    terms = [cells[0].casefold() for cells in rows(section(read("CONTRIBUTING.md"), "## Glossary"))]
    assert terms[1:] == sorted(terms[1:])
