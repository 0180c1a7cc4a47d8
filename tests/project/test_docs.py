"""The documents are true: the tree, the columns, the exit codes, the commands."""

import re
import signal

import pytest
from conftest import REPOSITORY, Runner

from batch_ser.errors import Reason, Stopped
from batch_ser.results.tables import FILE_COLUMNS, SEGMENT_COLUMNS
from jobs.commands import exits

README = (REPOSITORY / "README.md").read_text()
PACKAGES = ("batch_ser", "models", "train", "jobs")


def test_the_annotated_tree_is_the_tree() -> None:
    tree = README[README.index("batch_ser/  ") :]
    tree = tree[: tree.index("```")]
    named: set[str] = set()
    folders: list[str] = []
    for line in tree.splitlines():
        name = line.split()[0]
        assert len(line.split()) > 1, f"{name}: no phrase"
        depth = (len(line) - len(line.lstrip())) // 2
        folders = [*folders[:depth], name]
        named.add("".join(folders))
    there = {
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {name for name in named if name.endswith(".py")} == there
    assert all((REPOSITORY / name).exists() for name in named)


def test_every_column_and_reason_is_in_the_readme() -> None:
    for name, _ in (*SEGMENT_COLUMNS, *FILE_COLUMNS):
        assert f"`{name}`" in README, name
    words = README.split()
    for reason in Reason:
        assert any(reason.value in word for word in words), reason


def test_exit_codes_are_in_the_readme() -> None:
    table = README[README.index("## Exit status") :]
    for status in (0, exits.NOT_COMPLETE, exits.USAGE, exits.FAILED_FILES):
        assert f"\n| {status} |" in table
    signals = [Stopped(number).exit_code for number in (signal.SIGINT, signal.SIGTERM)]
    assert f"| {signals[0]}, {signals[1]} |" in table


@pytest.mark.parametrize("command", ["run", "predict", "verify", "models", "train", "evaluate"])
def test_the_commands_and_options_of_the_readme_exist(command: str, batch_ser: Runner) -> None:
    usage = re.sub(r"\s+", " ", batch_ser(command, "--help").stdout)
    code = "\n".join(re.findall(r"```\n(.*?)```", README, re.DOTALL)).replace("\\\n", " ")
    lines = [line.split("#")[0] for line in code.splitlines() if f"batch-ser {command}" in line]
    assert lines
    for line in lines:
        for option in re.findall(r"--[a-z-]+", line):
            assert option in usage, f"{option} in: {line}"


def test_the_issue_s_commands_are_there(batch_ser: Runner) -> None:
    assert batch_ser("--version").stdout.startswith("batch-ser ")
    assert batch_ser().returncode in (0, 2)


def test_contributing_names_files_that_exist() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text()
    for name in re.findall(r"`((?:batch_ser|models|train|jobs|tests)/[\w/]+\.py)`", text):
        assert (REPOSITORY / name).exists(), name
