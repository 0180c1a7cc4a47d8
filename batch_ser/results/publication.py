"""How new tables take the place of earlier ones, so that no reader takes a mixture for a result.

New tables are made in the working folder, synced, and moved to their names.

- In a folder they have new names. `run.json`, which lists them, is replaced last, and files that it
  no longer lists are removed after that: who follows it sees one set whole at any time.
- Single files keep their names, so that they cannot be replaced at one moment. While they are,
  `run.json` has `"complete": false` and both records, `old` and `new`, with the digests of their
  tables. `recover` goes on from there.
"""

import contextlib
import re
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from batch_ser.errors import MismatchError
from batch_ser.results.durable import describe_files, read_json, sync, write_json
from batch_ser.results.layout import DRIVER, EMBEDDINGS, TABLES, Output, is_replacement

TABLE_FILE = re.compile(r"part-([0-9a-f]{8}-)?\d{5}\.parquet")  # in a folder
MADE_IN = re.compile(r"final-[0-9a-f]{8}")
REMOVED = "removed"  # instead of it: all tables are being removed
Record = dict[str, Any]


def new_folder(output: Output) -> Path:
    """An empty folder for new tables, of which one driver alone knows."""
    folder = output.work / f"final-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    return folder


def publish(output: Output, made: Path, record: Record, check: Callable[[], None]) -> None:
    """Let the tables in `made` and their record replace what is published.

    `check` raises where another driver has taken over; it is called before each change of
    `run.json`.
    """
    check()
    if output.single_file:
        old = output.complete_record()
        content = {"complete": False, "old": old, "new": record, "made_in": made.name}
        _write_record(output, content)
    _move_tables(output, made, record)
    check()
    _write_record(output, record)
    _remove_leftovers(output, record)


def is_interrupted(output: Output) -> bool:
    """Whether a driver was killed, or is at work, while it replaced tables.

    Raises:
        MismatchError: `run.json` is damaged.
    """
    content = read_json(output.run_json)
    return (content is not None and is_replacement(content)) or bool(_unlisted(output, content))


def recover(output: Output) -> None:
    """Go on where a driver was killed while it replaced tables; remove what others left.

    New tables that are whole are published. Otherwise what was complete before still counts.

    Raises:
        MismatchError: neither set of tables is whole, or `run.json` is damaged.
    """
    content = read_json(output.run_json)
    if content is not None and is_replacement(content):
        _settle(output, content)
        return
    for path in [*_unlisted(output, content), *_left_in_work(output, published=bool(content))]:
        _remove(path)


def _settle(output: Output, content: Record) -> None:
    """Publish the new tables, or let the old ones count again."""
    old, new, made_in = (content.get(name) for name in ("old", "new", "made_in"))
    if made_in == REMOVED:
        _remove_all(output, content)
        return
    if not isinstance(new, dict) or not MADE_IN.fullmatch(str(made_in)):
        raise MismatchError(f"{output.run_json} is damaged; --restart begins again")
    made = output.work / str(made_in)
    if _is_whole(output, made, new):
        _move_tables(output, made, new)
        _write_record(output, new)
        _remove_leftovers(output, new)
    else:
        _roll_back(output, old, new)
        _remove(made)


def remove(output: Output) -> None:
    """Delete the output (`--restart`) but the driver's heartbeat; `recover` ends what is begun."""
    with contextlib.suppress(MismatchError):  # a damaged record is removed, too
        recover(output)
    content = output.any_record()
    if output.run_json.exists():
        old = {"tables": output.own_tables(content)}
        content = {"complete": False, "old": old, "new": None, "made_in": REMOVED}
        _write_record(output, content)
    _remove_all(output, content)


def _write_record(output: Output, record: Record) -> None:
    output.work.mkdir(parents=True, exist_ok=True)
    write_json(output.run_json, record, scratch=output.work)


def _move_tables(output: Output, made: Path, record: Record) -> None:
    """Move what has not been moved yet; every file is on the disk before `run.json` says so."""
    names = output.own_tables(record)
    for name in names:
        target = output.base / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (made / name).exists():
            (made / name).replace(target)
    for folder in {(output.base / name).parent for name in names} | {output.base}:
        sync(folder)


def _is_whole(output: Output, made: Path, record: Record) -> bool:
    """Whether each table of a record is there, in its place or where it was made."""
    for name, expected in output.own_tables(record).items():
        below = made if (made / name).is_file() else output.base
        if not (below / name).is_file() or describe_files([below / name], below)[name] != expected:
            return False
    return True


def _roll_back(output: Output, old: Record | None, new: Record) -> None:
    if old is not None and not _is_whole(output, output.base, old):
        raise MismatchError(
            f"{output.out}: a driver was stopped while it replaced tables, and neither the earlier "
            "nor the new ones are whole; put them back, or give --restart to begin again"
        )
    for name in output.own_tables(new).keys() - output.own_tables(old).keys():
        (output.base / name).unlink(missing_ok=True)
    if old is None:
        output.run_json.unlink()
    else:
        _write_record(output, old)


def _remove_leftovers(output: Output, record: Record) -> None:
    """Remove everything that led to the published tables, but the driver's heartbeat."""
    _clear_work(output)
    for path in _unlisted(output, record):
        _remove(path)
    with contextlib.suppress(OSError):
        output.work.rmdir()  # else its driver removes it at its end


def _clear_work(output: Output) -> None:
    with contextlib.suppress(FileNotFoundError):
        # all at once: a part alone would count again, with older rows or of other settings
        output.parts.rename(output.work / f"removed-{uuid.uuid4().hex[:8]}")
    for path in output.work.glob("*"):
        if path.name != DRIVER:
            _remove(path)


def _left_in_work(output: Output, *, published: bool) -> list[Path]:
    """What a killed driver left in the working folder and nothing needs."""
    patterns = ["final-*", "removed-*", "[!d]*.partial"]  # those of driver.json may be in use
    if published:
        patterns.append(output.settings_json.name)  # `run.json` has them
    return [path for pattern in patterns for path in output.work.glob(pattern)]


def _unlisted(output: Output, content: Record | None) -> list[Path]:
    """The files of tables in a folder that `run.json` does not list (any more, or yet)."""
    listed = {output.base / name for name in output.own_tables(content)}
    if output.single_file or (content is None and not output.settings_json.exists()):
        return []
    found = [path for name in TABLES for path in output.table(name).glob("part-*.parquet")]
    return [path for path in found if path not in listed and TABLE_FILE.fullmatch(path.name)]


def _remove_all(output: Output, content: Record | None) -> None:
    """Remove the tables that are named, everything in the working folder, and `run.json` last."""
    tables = {output.table(name) for name in TABLES[:2]}
    for path in tables | {output.base / name for name in output.own_tables(content)}:
        _remove(path)
    with contextlib.suppress(OSError):
        if not output.single_file:
            output.table(EMBEDDINGS).rmdir()  # unless there are files of others
    _clear_work(output)
    output.run_json.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
