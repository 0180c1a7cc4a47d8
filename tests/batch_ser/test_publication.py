"""Publication of tables, killed at every operation: one set whole, or not called complete."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from interruptions import (
    Interruption,
    assert_no_mixture,
    assert_tidy,
    at_operation,
    base_of,
    interrupted,
)

from batch_ser.errors import MismatchError
from batch_ser.results import Output, is_interrupted, recover, remove
from batch_ser.results.parts import new_parts
from batch_ser.results.publication import new_tables, publish
from batch_ser.storage import describe_files

BOTH = pytest.mark.parametrize("name", ["out.parquet", "out"])
MOST_OPERATIONS = 60
OLD, NEW = ("segments", "files"), ("segments", "files", "embeddings")


def make(output: Output, content: str, tables: tuple[str, ...]) -> tuple[Path, dict[str, Any]]:
    """What is published next: tables of some text in the working folder, and their record."""
    made = new_tables(output)
    paths = []
    for table in tables:
        path = made / output.table(table)
        if not output.single_file:
            path = path / f"part-{made.name[-8:]}-00000.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content} {table}")
        paths.append(path)
    parts = new_parts(output, {})
    output.folder.write(f"{parts}/1.files.parquet", content.encode())
    record = {"complete": True, "content": content, "tables": describe_files(paths, made)}
    return made, record | {"parts": Path(parts).name}


def published(output: Output, content: str, tables: tuple[str, ...]) -> None:
    publish(output, *make(output, content, tables), check=lambda: None)


def parts_of(output: Output) -> list[str]:
    """The committed parts that count."""
    settings = output.settings()
    return [each.name for each in output.folder.entries(settings[1])] if settings else []


def content_of(output: Output) -> str | None:
    """Which set of tables is published."""
    record = output.complete_record()
    return record and record["content"]


@BOTH
@pytest.mark.parametrize("first", [False, True])
def test_killed_at_every_operation(name: str, first: bool, tmp_path: Path) -> None:
    """Before each of them a reader finds one set whole, and the next command ends in one."""
    found = set()
    for number in range(MOST_OPERATIONS):
        output = Output(str(tmp_path / str(number) / name))
        if not first:
            published(output, "old", OLD)
        made, record = make(output, "new", NEW)
        try:
            with at_operation(number, interrupted):
                publish(output, made, record, lambda: None)
            break
        except Interruption:
            assert_no_mixture(Path(output.out))
        recover(output)
        assert_no_mixture(Path(output.out))
        assert not is_interrupted(output)
        found.add(content_of(output))
        if content_of(output) != "new":  # its parts are there to make the tables again
            assert parts_of(output)
            published(output, "new", NEW)
        assert content_of(output) == "new"
    assert number < MOST_OPERATIONS - 1
    assert found == {None if first else "old", "new"}


@BOTH
def test_killed_while_it_recovers(name: str, tmp_path: Path) -> None:
    """In the middle of publication, and then at every operation of the recovery."""
    for number in range(MOST_OPERATIONS):
        output = Output(str(tmp_path / str(number) / name))
        published(output, "old", OLD)
        made, record = make(output, "new", NEW)
        with pytest.raises(Interruption), at_operation(12, interrupted):
            publish(output, made, record, lambda: None)
        assert is_interrupted(output)
        try:
            with at_operation(number, interrupted):
                recover(output)
            break
        except Interruption:
            assert_no_mixture(Path(output.out))
        recover(output)
        assert_no_mixture(Path(output.out))
        assert content_of(output) in ("old", "new")
        assert not is_interrupted(output)
    assert number < MOST_OPERATIONS - 1


@BOTH
def test_a_removal_that_was_killed_ends(name: str, tmp_path: Path) -> None:
    """Never is a part of the tables called complete, nor do parts without settings count."""
    for number in range(MOST_OPERATIONS):
        output = Output(str(tmp_path / str(number) / name))
        published(output, "old", NEW)
        output.folder.write(f"{new_parts(output, {})}/1.files.parquet", b"")
        try:
            with at_operation(number, interrupted):
                remove(output)
            break
        except Interruption:
            assert_no_mixture(Path(output.out))
        recover(output)
        assert content_of(output) in (None, "old")
        if content_of(output) is None:
            assert not parts_of(output)
            assert not list(base_of(output).rglob("*.parquet"))
            assert not (base_of(output) / output.run_json).exists()
    assert number < MOST_OPERATIONS - 1
    assert not list(base_of(output).rglob("*"))


def interrupted_output(tmp_path: Path) -> Output:
    """Old tables, of which the first has been replaced by a new one."""
    for number in range(MOST_OPERATIONS):
        output = Output(str(tmp_path / str(number) / "out.parquet"))
        published(output, "old", OLD)
        made, record = make(output, "new", NEW)
        with pytest.raises(Interruption), at_operation(number, interrupted):
            publish(output, made, record, lambda: None)
        if Path(output.out).read_text() == "new segments":
            return output
    raise AssertionError("no table was replaced")


def test_run_json_tells_old_new_and_between(tmp_path: Path) -> None:
    output = interrupted_output(tmp_path)
    content = json.loads(output.folder.read(output.run_json))
    assert content["complete"] is False
    assert content["old"]["tables"].keys() == {"out.parquet", "out.files.parquet"}
    assert content["new"]["tables"].keys() == {*content["old"]["tables"], "out.embeddings.parquet"}
    assert is_interrupted(output)
    assert output.complete_record() is None
    recover(output)
    assert content_of(output) == "new"
    assert_tidy(Path(output.out))


def test_the_new_tables_are_published_without_the_working_folder(tmp_path: Path) -> None:
    """Once all have been moved, `run.json` alone is enough."""
    for number in range(MOST_OPERATIONS):
        output = Output(str(tmp_path / str(number) / "out.parquet"))
        made, record = make(output, "new", OLD)
        with pytest.raises(Interruption), at_operation(number, interrupted):
            publish(output, made, record, lambda: None)
        if not list(made.iterdir()):
            break
    shutil.rmtree(base_of(output) / output.work)
    recover(output)
    assert content_of(output) == "new"


def test_new_tables_that_are_not_whole_are_not_published(tmp_path: Path) -> None:
    """Nothing has been replaced yet: the old tables count again."""
    for number in range(MOST_OPERATIONS):
        output = Output(str(tmp_path / str(number) / "out.parquet"))
        published(output, "old", OLD)
        made, record = make(output, "new", NEW)
        with pytest.raises(Interruption), at_operation(number, interrupted):
            publish(output, made, record, lambda: None)
        if is_interrupted(output):
            break
    assert Path(output.out).read_text() == "old segments"
    (made / "out.files.parquet").write_text("cut o")
    recover(output)
    assert content_of(output) == "old"
    assert parts_of(output)
    assert not output.folder.find(output.table("embeddings"))


def test_tables_of_which_no_set_is_whole_are_refused(tmp_path: Path) -> None:
    output = interrupted_output(tmp_path)
    shutil.rmtree(base_of(output) / output.work)
    with pytest.raises(MismatchError, match="neither the earlier nor the new ones are whole"):
        recover(output)
    remove(output)
    assert not list(base_of(output).glob("*.parquet"))


def test_a_driver_that_was_taken_over_publishes_nothing(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "out.parquet"))
    published(output, "old", OLD)
    made, record = make(output, "new", OLD)

    def taken_over() -> None:
        raise Interruption

    with pytest.raises(Interruption):
        publish(output, made, record, taken_over)
    assert content_of(output) == "old"
    assert not is_interrupted(output)


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        '{"tables": []}',
        '{"complete": false}',
        '{"complete": false, "old": 1, "new": null, "made_in": "removed"}',
        '{"complete": false, "old": null, "new": {"tables": {}}, "made_in": "../.."}',
        '{"complete": true, "tables": {"out.parquet": 3}}',
    ],
)
@BOTH
def test_a_damaged_record_removes_nothing(content: str, name: str, tmp_path: Path) -> None:
    output = Output(str(tmp_path / name))
    published(output, "old", OLD)
    before = sorted(base_of(output).rglob("*"))
    output.folder.write(output.run_json, content.encode())
    with pytest.raises(MismatchError, match="--restart begins again"):
        recover(output)
    assert sorted(base_of(output).rglob("*")) == before


def test_files_of_others_in_a_folder_stay(tmp_path: Path) -> None:
    output = Output(str(tmp_path / "out"))
    published(output, "old", OLD)
    segments = tmp_path / "out" / "segments"
    theirs = segments / "part-of-a-thesis.parquet"
    theirs.write_text("another program's")
    published(output, "new", OLD)
    assert theirs.exists()
    assert len(list(segments.iterdir())) == 2
