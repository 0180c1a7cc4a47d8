"""A process that is stopped at one of its operations on the disk, and what readers find then."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import obstore

from batch_ser.results.json_files import read_json
from batch_ser.results.layout import TABLES, Output
from batch_ser.storage import describe, is_store

OPERATIONS = ("rename", "replace", "unlink", "rmdir", "mkdir", "fsync")
REQUESTS = ("put", "copy", "delete")


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
    counted = _Counted(number, act)
    with patch.multiple(os, **{name: counted(getattr(os, name)) for name in OPERATIONS}):
        yield


@contextmanager
def at_request(number: int, act: Callable[[], Any]) -> Iterator[None]:
    """The same in front of a request that changes an object store.

    Of many objects that are removed in a request each counts: a store need not remove all at one
    moment, nor in their order.
    """
    counted = _Counted(number, act)
    changed = {name: counted(getattr(obstore, name)) for name in REQUESTS}
    delete = changed["delete"]

    def delete_each(store: Any, paths: Any) -> None:
        for path in [paths] if isinstance(paths, str) else sorted(paths, reverse=True):
            delete(store, path)

    with patch.multiple(obstore, **changed | {"delete": delete_each}):
        yield


class _Counted:
    """Counts the calls of functions by the main thread, and acts in front of one of them."""

    def __init__(self, number: int, act: Callable[[], Any]) -> None:
        self._left = number
        self._act = act

    def __call__(self, operation: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                self._left -= 1
                if self._left == -1:
                    self._act()
            return operation(*args, **options)

        return call


def assert_no_mixture(out: Path | str) -> None:
    """A reader finds one set of tables whole, or `run.json` does not call it complete."""
    output = Output(str(out))
    folder = output.folder
    content = read_json(folder, output.run_json)
    if content is None:
        present = output.single_file and folder.find(output.table("segments"))
        assert not present, "a table without run.json"
        return
    if content["complete"]:
        for name, expected in content["tables"].items():
            assert describe(folder.local(name)) == expected, f"{name} is not what run.json says"
        return
    assert output.single_file or content["new"] is None, "a folder is switched at one moment"
    sets = [each["tables"] for each in (content["old"], content["new"]) if each]
    for name in {name for tables in sets for name in tables}:
        if folder.find(name) and content["new"]:
            found = describe(folder.local(name))
            assert found in [tables.get(name) for tables in sets], f"{name} is of neither set"


def assert_tidy(out: Path | str) -> None:
    """Nothing is left but the tables that `run.json` lists."""
    output = Output(str(out))
    record = output.complete_record()
    assert record
    assert not list(output.folder.entries(output.work))
    if not is_store(output.out):
        assert not (base_of(output) / output.work).exists()
    if not output.single_file:
        tables = [each.name for name in TABLES for each in output.folder.entries(name)]
        assert set(tables) == set(record["tables"])


def base_of(output: Output) -> Path:
    """The local folder of an output."""
    return Path(output.folder.address)


def killed_command(
    number: int, command: str, arguments: dict[str, Any], environment: dict[str, str] | None = None
) -> None:
    """A run or an adaptation that is killed at an operation; for a process of its own.

    With the `environment` of an object store at a request to it.
    """
    from jobs import RunConfig, run
    from jobs.adapt import adapt_again

    os.environ.update(environment or {})
    with (at_request if environment else at_operation)(number, killed):
        if command == "adapt":
            adapt_again(**arguments)
        else:
            run(RunConfig(**arguments))
