"""A process that is stopped at one of its operations on the disk, and what readers find then."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from batch_ser.results.layout import TABLES, Output
from batch_ser.storage import describe_files

OPERATIONS = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync")


class Interruption(BaseException):
    """Ends a command where it is, as a kill would: nothing catches it."""


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted() -> None:
    raise Interruption


@contextmanager
def at_operation(number: int, act: Callable[[], Any]) -> Iterator[None]:
    """Inside, `act` is called in front of the operation with this number, counted from 0.

    Only the main thread counts: heartbeats are renewed by the clock.
    """
    done = 0

    def wrapped(operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal done
            if threading.current_thread() is threading.main_thread():
                done += 1
                if done == number + 1:
                    act()
            return operation(*args, **options)

        return call

    with patch.multiple(os, **{name: wrapped(getattr(os, name)) for name in OPERATIONS}):
        yield


def assert_no_mixture(out: Path) -> None:
    """A reader finds one set of tables whole, or `run.json` does not call it complete."""
    output = Output(str(out))
    base = base_of(output)
    present = [out] if output.single_file else []
    if not (base / output.run_json).exists():
        assert not any(path.exists() for path in present), "a table without run.json"
        return
    content = json.loads((base / output.run_json).read_text())
    if content["complete"]:
        assert described(base, content["tables"]) == content["tables"]
        return
    assert output.single_file or content["new"] is None, "a folder is switched at one moment"
    sets = [each["tables"] for each in (content["old"], content["new"]) if each]
    for name in {name for tables in sets for name in tables}:
        if (base / name).exists() and content["new"]:
            found = described(base, [name])[name]
            assert found in [tables.get(name) for tables in sets], f"{name} is of neither set"


def assert_tidy(out: Path) -> None:
    """Nothing is left but the tables that `run.json` lists."""
    output = Output(str(out))
    base = base_of(output)
    listed = json.loads((base / output.run_json).read_text())["tables"]
    assert not (base / output.work).exists()
    if not output.single_file:
        found = [path for name in TABLES for path in (base / output.table(name)).glob("*")]
        assert {str(path.relative_to(out)) for path in found} == set(listed)


def base_of(output: Output) -> Path:
    """The local folder of an output."""
    return Path(output.folder.address)


def described(base: Path, names: Any) -> dict[str, Any]:
    return describe_files([base / name for name in names], base)


def killed_command(number: int, command: str, arguments: dict[str, Any]) -> None:
    """A run or an adaptation that is killed at an operation; for a process of its own."""
    from jobs import RunConfig, run
    from jobs.adapt import adapt_again

    with at_operation(number, killed):
        if command == "adapt":
            adapt_again(**arguments)
        else:
            run(RunConfig(**arguments))
