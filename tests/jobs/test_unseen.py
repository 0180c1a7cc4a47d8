"""Whether a file is blamed, or the node that does not see it."""

from pathlib import Path

import pytest
from object_stores import put

from batch_ser.archives import Member
from batch_ser.errors import FileError, Reason
from batch_ser.inputs import InputFile
from batch_ser.results import TableSchemas
from jobs.unseen import unseen
from jobs.worker import ShardResult, failed

SCHEMAS = TableSchemas(("neutral",))
MISSING = FileError(Reason.NOT_FOUND, "there is no such file")


def result_of(file: InputFile, error: FileError) -> ShardResult:
    return failed(file, SCHEMAS, error)


@pytest.fixture
def here(tmp_path: Path) -> InputFile:
    (tmp_path / "a.wav").write_bytes(b"here")
    return InputFile("a.wav", str(tmp_path / "a.wav"))


@pytest.mark.parametrize("reason", [Reason.NOT_FOUND, Reason.FORBIDDEN])
def test_a_node_that_does_not_see_a_file_that_is_here(here: InputFile, reason: Reason) -> None:
    error = FileError(reason, "there is no such file")
    found = unseen([here], result_of(here, error))
    assert here.path in str(found)
    assert "expected a file system that all nodes share" in str(found)


def test_a_file_that_is_missing_here_too_fails_itself(tmp_path: Path) -> None:
    gone = InputFile("gone.wav", str(tmp_path / "gone.wav"))
    assert unseen([gone], result_of(gone, MISSING)) is None


def test_other_faults_are_those_of_the_file(here: InputFile) -> None:
    damaged = FileError(Reason.CORRUPT, "damaged")
    assert unseen([here], result_of(here, damaged)) is None


def test_a_recording_that_an_archive_does_not_hold_is_no_matter_of_the_node(
    here: InputFile,
) -> None:
    member = InputFile("a.wav!/b", here.path, member=Member("b", (0, 1), 1))
    nothing = FileError(Reason.NOT_FOUND, "the row has no bytes: its recording is elsewhere")
    assert unseen([member], result_of(member, nothing)) is None
    assert unseen([member], result_of(member, MISSING)) is not None


def test_an_object_that_a_node_has_no_keys_for(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the driver may read it decides; with an object that is not there it is the file."""
    (tmp_path / "a.wav").write_bytes(b"here")
    put(tmp_path, bucket)
    there, gone = (InputFile(name, f"{bucket}/{name}") for name in ("a.wav", "gone.wav"))
    denied = FileError(Reason.FORBIDDEN, "the object may not be read")
    assert "expected keys" in str(unseen([there], result_of(there, denied)))
    assert unseen([gone], result_of(gone, MISSING)) is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens
    assert unseen([there], result_of(there, denied)) is None
