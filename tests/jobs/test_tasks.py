"""What follows when a worker ends before its task is done: whom it blames, and after how much."""

from collections.abc import Callable

import pytest

from batch_ser.errors import FileError, Reason
from batch_ser.inputs import InputFile
from batch_ser.results import TableSchemas
from jobs.tasks import MAX_DEATHS, Task, Tasks

CRASH = FileError(Reason.DECODER_CRASH, "")


@pytest.fixture
def files() -> list[InputFile]:
    return [InputFile(name, f"/{name}") for name in ("a.wav", "b.wav", "c.wav")]


@pytest.fixture
def tasks(files: list[InputFile]) -> Tasks:
    return Tasks(iter([files]), TableSchemas(("neutral",)), 60.0)


def taken(tasks: Tasks) -> list[Task]:
    """All tasks that are left."""
    found = []
    while tasks.left:
        found.append(tasks.take())
    return found


def test_a_death_leads_to_an_examination_and_blames_nobody(
    tasks: Tasks, files: list[InputFile]
) -> None:
    assert list(tasks.died(tasks.take())) == []
    [examination] = taken(tasks)
    assert examination == Task(files, examine=True)
    assert list(tasks.examined(examination, {})) == []
    assert taken(tasks) == [Task([file]) for file in files]


def test_an_examination_convicts(tasks: Tasks, files: list[InputFile]) -> None:
    list(tasks.died(tasks.take()))
    [result] = tasks.examined(tasks.take(), {1: CRASH})
    [row] = result.files.to_pylist()
    assert (row["file"], row["status"], row["reason"]) == ("b.wav", "failed", "decoder_crash")
    assert taken(tasks) == [Task([files[0]]), Task([files[2]])]


def test_the_death_of_an_examination_blames_nobody(tasks: Tasks, files: list[InputFile]) -> None:
    list(tasks.died(tasks.take()))
    assert list(tasks.died(tasks.take())) == []
    assert taken(tasks) == [Task([file]) for file in files]


def test_tries_are_bounded(files: list[InputFile]) -> None:
    """Of a file at which workers die again and again, though it can be decoded."""
    tasks = Tasks(iter([files[:1]]), TableSchemas(("neutral",)), 60.0)
    results, scored = [], 0
    while tasks.left:
        task = tasks.take()
        if task.examine:
            results += tasks.examined(task, {})
        else:
            scored += 1
            results += tasks.died(task)
    assert scored == MAX_DEATHS
    assert [result.files["reason"].to_pylist() for result in results] == [["internal_error"]]


def test_tries_are_counted_anew_after_progress(files: list[InputFile]) -> None:
    """A worker that dies after new segments does not count against the file, however often."""
    tasks = Tasks(iter([files[:1]]), TableSchemas(("neutral",)), 60.0)
    for advanced in [True] * 2 * MAX_DEATHS + [False] * (MAX_DEATHS - 2):
        assert list(tasks.died(tasks.take(), advanced=advanced)) == []
        assert list(tasks.examined(tasks.take(), {})) == []
    [result] = tasks.died(tasks.take())
    assert result.files["reason"].to_pylist() == ["internal_error"]


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (lambda tasks, task: tasks.overran(task), "timeout"),
        (lambda tasks, task: tasks.raised(task, ZeroDivisionError()), "internal_error"),
    ],
)
def test_a_file_alone_fails_by_its_own_time_and_its_own_errors(
    files: list[InputFile], end: Callable[[Tasks, Task], list[object]], reason: str
) -> None:
    """Those of a shard of several files blame none of them."""
    tasks = Tasks(iter([files]), TableSchemas(("neutral",)), 60.0)
    assert list(end(tasks, tasks.take())) == []
    rows = []
    while tasks.left:
        task = tasks.take()
        if task.examine:
            assert list(tasks.examined(task, {})) == []
        else:
            assert len(task.shard) == 1
            rows += [row for each in end(tasks, task) for row in each.files.to_pylist()]
    assert sorted(row["file"] for row in rows) == ["a.wav", "b.wav", "c.wav"]
    assert {row["reason"] for row in rows} == {reason}


@pytest.mark.parametrize("examine", [False, True])
def test_a_loss_of_the_system_is_never_counted(
    tasks: Tasks, files: list[InputFile], examine: bool
) -> None:
    """However often a node is lost, its task comes again as it was, and no file is blamed."""
    if examine:
        list(tasks.died(tasks.take()))
    for _ in range(10 * MAX_DEATHS):
        assert list(tasks.lost(tasks.take())) == []
    assert taken(tasks) == [Task(files, examine=examine)]
