"""The structure: one-way imports, interfaces of sub-packages, small modules, Ray in few of them."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from conftest import INLINE_FIRST, PACKAGES, PROGRAM, REPOSITORY, Runner

MODULES = sorted(path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py"))
# of each package, the right imports the left; what is not named comes after them, in any order
SUB_PACKAGES = {
    "batch_ser": [
        "errors",
        "addresses",
        "cells",
        "storage",
        "archives",
        "audio",
        "inputs",
        "segments",
        "results",
        "calls",
        "labels",
        "report",
    ],
    "train": ["data", "splits", "augmentation", "recipes", "features", "fitting", "evaluation"],
    "jobs": ["worker", "plan", "html_report", "sample", "judge", "serve", "commands"],
}
INTERFACES = {
    f"{package}.{name}"
    for package, names in SUB_PACKAGES.items()
    for name in names
    if (REPOSITORY / package / name).is_dir()
}
LONGEST = 300  # lines of a module; 250 is a smell
VAGUE = {"utils", "core", "base", "common", "config", "helpers", "misc"}


@cache
def imported(path: Path) -> frozenset[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(str(node.module))
    return frozenset(found)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_imports_run_one_way(path: Path) -> None:
    package = path.relative_to(REPOSITORY).parts[0]
    tops = {name.partition(".")[0] for name in imported(path)}
    later = set(PACKAGES[PACKAGES.index(package) + 1 :])
    assert not tops & later, f"{path} imports a later package"
    assert "tests" not in tops


def _sub_package(name: str) -> str:
    return ".".join(name.split(".")[:2])


def _module(path: Path) -> str:
    return ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)


def test_every_folder_of_a_package_is_a_sub_package_with_its_place_in_the_order() -> None:
    folders = {_sub_package(_module(path)) for path in MODULES if len(_module(path).split(".")) > 2}
    assert folders == INTERFACES
    for name in INTERFACES:
        assert (REPOSITORY.joinpath(*name.split(".")) / "__init__.py").exists(), name


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_sub_packages_import_one_way_and_through_their_interfaces(path: Path) -> None:
    mine, package = _sub_package(_module(path)), path.relative_to(REPOSITORY).parts[0]
    order = SUB_PACKAGES.get(package, [])
    later: set[str] = set()
    if mine in INTERFACES or mine.rpartition(".")[2] in order:
        later = {f"{package}.{name}" for name in order[order.index(mine.rpartition(".")[2]) + 1 :]}
    for name in imported(path):
        theirs = _sub_package(name)
        assert theirs not in later, f"{path} imports {name}, which comes later"
        if theirs in INTERFACES and theirs not in (mine, "jobs.commands"):
            assert name == theirs, f"{path} imports {name}; expected what {theirs} names"


def test_ray_is_known_in_one_place() -> None:
    found = [path for path in MODULES if any(n.split(".")[0] == "ray" for n in imported(path))]
    assert REPOSITORY / "jobs" / "on_ray.py" in found
    assert all(path.match("jobs/on_ray.py") or path.match("jobs/ray_*.py") for path in found), found


def test_object_stores_are_known_in_one_place() -> None:
    found = [path for path in MODULES if any(n.split(".")[0] == "obstore" for n in imported(path))]
    assert found
    assert all(path.match("batch_ser/storage/object_*.py") for path in found), found


def test_boto3_is_an_extra_that_few_modules_know() -> None:
    known = {"aws_credentials.py", "aws_listing.py"}
    found = {
        path.name
        for path in MODULES
        if {"boto3", "botocore"} & {n.split(".")[0] for n in imported(path)}
    }
    assert found == known


def test_no_network_is_built_outside_models_and_train() -> None:
    for path in MODULES:
        if path.relative_to(REPOSITORY).parts[0] in ("batch_ser", "jobs"):
            assert not any(name.startswith("torch.nn") for name in imported(path)), path
            assert "nn.Module" not in path.read_text(), path


def test_modules_are_small_and_have_names_and_docstrings() -> None:
    for path in MODULES:
        assert path.stem not in VAGUE, path
        source = path.read_text()
        assert len(source.splitlines()) <= LONGEST, f"{path}: {len(source.splitlines())} lines"
        tree = ast.parse(source)
        assert ast.get_docstring(tree), f"{path}: no docstring"
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                body = node.body[1:] if ast.get_docstring(node) else node.body
                lines = node.end_lineno - body[0].lineno + 1 if body and node.end_lineno else 0
                assert lines <= 40, f"{path}:{node.lineno} {node.name}: {lines} lines"


@pytest.mark.parametrize("command", ["--help", "run --help", "train --help", "--version"])
def test_help_loads_neither_torch_nor_ray(command: str) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['batch-ser', *{command.split()!r}]\n"
        "from jobs.cli import app\n"
        "try:\n    app()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'ray', 'pyarrow', 'numpy', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("engine", INLINE_FIRST)
def test_folders_with_the_names_of_our_packages_hide_nothing(
    engine: str, tmp_path: Path, program: Runner, checkpoint_path: Path, archive: Path
) -> None:
    """The program runs in a folder that has its own models/ and train/: common names."""
    for name in (*PACKAGES, "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('another package')")
    done = program(
        *("run", "--input", archive, "--out", "out.parquet", "--model", checkpoint_path),
        *("--engine", engine, "--workers", 1, "--segment", "whole"),
    )
    assert done.returncode == 0, done.stderr


def test_the_program_is_installed() -> None:
    assert PROGRAM.exists(), f"{PROGRAM}: install with pip install -e ."
