"""How new tables take the place of earlier ones, so that no reader takes a mixture for a result.

New tables are made whole in the working folder and moved to their names.

- In a folder they have new names. `run.json`, which lists them, is replaced last, and files that it
  no longer lists are removed after that: who follows it sees one set whole at any time.
- Single files keep their names, so that they cannot be replaced at one moment. While they are,
  `run.json` has `"complete": false` and both records, `old` and `new`, with the digests of their
  tables. `recover` goes on from there.
"""

import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from batch_ser.errors import MismatchError
from batch_ser.results.derived import own_derived
from batch_ser.results.json_files import read_json, write_json
from batch_ser.results.layout import ALWAYS, CALLS, GROUPS, Output
from batch_ser.results.run_record import is_replacement
from batch_ser.results.tables import SPEECH, TABLES
from batch_ser.storage import describe

TABLE_FILE = re.compile(r"part-([0-9a-f]{8}-)?\d{5}\.parquet")  # in a folder
MADE_IN = re.compile(r"final-[0-9a-f]{8}")
REMOVED = "removed"  # instead of it: all tables are being removed
Record = dict[str, Any]


def new_tables(output: Output) -> Path:
    """An empty local folder for new tables, of which one driver alone knows."""
    return output.folder.new_tables(f"{output.work}/final-{uuid.uuid4().hex[:8]}")


def publish(output: Output, made: Path, record: Record, check: Callable[[], None]) -> None:
    """Let the tables in `made` and their record replace what is published.

    `check` raises where another driver has taken over; it is called before each change of
    `run.json`.
    """
    names = output.own_tables(record)
    output.folder.put_tables(made, f"{output.work}/{made.name}", names)
    check()
    if output.single_file:
        old = output.complete_record()
        content = {"complete": False, "old": old, "new": record, "made_in": made.name}
        _write_record(output, content)
    _move_tables(output, made.name, record)
    check()
    _write_record(output, record)
    _remove_leftovers(output, record)


def is_interrupted(output: Output) -> bool:
    """Whether a driver was killed, or is at work, while it replaced tables.

    Raises:
        MismatchError: `run.json` is damaged.
    """
    content = read_json(output.folder, output.run_json)
    return (content is not None and is_replacement(content)) or bool(_unlisted(output, content))


def recover(output: Output) -> None:
    """Go on where a driver was killed while it replaced tables; remove what others left.

    New tables that are whole are published. Otherwise what was complete before still counts.

    Raises:
        MismatchError: neither set of tables is whole, or `run.json` is damaged.
    """
    content = read_json(output.folder, output.run_json)
    if content is not None and is_replacement(content):
        _settle(output, content)
        return
    _remove_leftovers(output, content)


def _settle(output: Output, content: Record) -> None:
    """Publish the new tables, or let the old ones count again."""
    old, new, made_in = (content.get(name) for name in ("old", "new", "made_in"))
    if made_in == REMOVED:
        _remove_all(output, content)
        return
    if not isinstance(new, dict) or not MADE_IN.fullmatch(str(made_in)):
        raise MismatchError(
            f"{output.folder.place(output.run_json)} is damaged; --restart begins again"
        )
    if _is_whole(output, str(made_in), new):
        _move_tables(output, str(made_in), new)
        _write_record(output, new)
        _remove_leftovers(output, new)
    else:
        _roll_back(output, old, new)
        _remove_leftovers(output, old)


def remove(output: Output) -> None:
    """Delete the output (`--restart`) but the driver's heartbeat; `recover` ends what is begun."""
    with suppress(MismatchError):  # a damaged record is removed, too
        recover(output)
    content = output.any_record()
    if output.folder.find(output.run_json):
        old = {"tables": output.own_tables(content)}
        content = {"complete": False, "old": old, "new": None, "made_in": REMOVED}
        _write_record(output, content)
    _remove_all(output, content)


def _write_record(output: Output, record: Record) -> None:
    write_json(output.folder, output.run_json, record, scratch=output.work)


def _move_tables(output: Output, made_in: str, record: Record) -> None:
    """Move what has not been moved yet; every file is kept before `run.json` says so."""
    names, below = output.own_tables(record), f"{output.work}/{made_in}"
    for name in names:
        with suppress(FileNotFoundError):
            output.folder.move(f"{below}/{name}", name)
    output.folder.settle({name.rpartition("/")[0] for name in names} | {""})


def _is_whole(output: Output, made_in: str | None, record: Record) -> bool:
    """Whether each table of a record is there, in its place or where it was made."""
    for name, expected in output.own_tables(record).items():
        places = [name] if made_in is None else [f"{output.work}/{made_in}/{name}", name]
        found = next((each for each in places if output.folder.find(each)), None)
        if found is None or describe(output.folder.local(found)) != expected:
            return False
    return True


def _roll_back(output: Output, old: Record | None, new: Record) -> None:
    if old is not None and not _is_whole(output, None, old):
        raise MismatchError(
            f"{output.out}: a driver was stopped while it replaced tables, and neither the earlier "
            "nor the new ones are whole; put them back, or give --restart to begin again"
        )
    for name in output.own_tables(new).keys() - output.own_tables(old).keys():
        output.folder.remove(name)
    if old is None:
        output.folder.remove(output.run_json)
    else:
        _write_record(output, old)


def _remove_leftovers(output: Output, record: Record | None) -> None:
    """Remove everything that led to the published tables, and what others left."""
    _clear_work(output)
    output.folder.remove(*_unlisted(output, record))


def _clear_work(output: Output) -> None:
    """Remove what nothing needs in the working folder: all but the driver's heartbeat, and a job
    that is not complete.

    The settings go first, which name the parts that count.
    """
    settings = output.settings()
    needed = (output.settings_json, f"{settings[1]}/") if settings else ("/",)
    if not settings:
        output.folder.remove(output.settings_json)
    found = {each.name for each in output.folder.entries(output.work)} - {output.driver_json}
    output.folder.remove(*(name for name in found if not name.startswith(needed)))
    output.folder.remove_empty(output.work)


def _unlisted(output: Output, content: Record | None) -> list[str]:
    """The files of tables in a folder that `run.json` does not list (any more, or yet)."""
    listed = output.own_tables(content)
    ours = content is not None or output.folder.find(output.settings_json)
    if output.single_file or not ours:
        return []
    found = [each.name for name in TABLES for each in output.folder.entries(output.table(name))]
    return [
        name
        for name in found
        if name not in listed and TABLE_FILE.fullmatch(name.partition("/")[2])
    ]


def _remove_all(output: Output, content: Record | None) -> None:
    """Remove the tables that are named, everything in the working folder, and `run.json` last."""
    folder = output.folder
    own = (*ALWAYS, SPEECH) if output.has_own_speech() else ALWAYS
    tables = [output.table(name) for name in own]
    if not output.single_file:
        found = [each.name for name in tables for each in folder.entries(name)]
        tables = [name for name in found if TABLE_FILE.fullmatch(name.partition("/")[2])]
    for name in own_derived(output):
        folder.remove(name)
    folder.remove(*{*tables, *output.own_tables(content)})
    for name in () if output.single_file else (*TABLES, CALLS, GROUPS):
        folder.remove_empty(name)  # unless there are files of others
    folder.remove(output.settings_json)
    _clear_work(output)
    folder.remove(output.run_json)
