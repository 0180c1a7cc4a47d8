"""Recordings found again by their names in the tables: none is outside of the root."""

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.errors import Reason, UsageError
from batch_ser.inputs import BelowRoot, Walk, table_name
from batch_ser.inputs.below_root import path_of
from batch_ser.storage import open_folder

ODD = b"caf\xe9 %E9 100%.wav"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Files, an archive, and links that stay inside or lead out."""
    root = tmp_path / "root"
    (root / "day").mkdir(parents=True)
    (tmp_path / "secret.wav").write_bytes(b"1234567")
    (root / "day" / "a.wav").write_bytes(b"12345")
    Path(os.fsdecode(os.fsencode(root) + b"/" + ODD)).write_bytes(b"123")
    with zipfile.ZipFile(root / "calls.zip", "w") as archive:
        archive.writestr("x/b.wav", b"12")
    (root / "in.wav").symlink_to(root / "day" / "a.wav")
    (root / "out.wav").symlink_to(tmp_path / "secret.wav")
    (root / "above").symlink_to(tmp_path)
    (root / "out.zip").symlink_to(tmp_path / "other.zip")
    (root / "calls.zip").rename(tmp_path / "other.zip")
    with zipfile.ZipFile(root / "calls.zip", "w") as archive:
        archive.writestr("x/b.wav", b"12")
    return root


def test_what_a_walk_lists_is_found_by_its_name(root: Path) -> None:
    below = BelowRoot("--audio", str(root))
    listed = {each.file: each for each in Walk((str(root),)) if "above" not in each.file}
    for name in ("day/a.wav", "calls.zip!/x/b.wav", "in.wav", table_name(os.fsdecode(ODD))):
        found, expected = below.find(name), listed[name]
        assert found.error is None, found.error
        assert (found.path, found.member) == (expected.path, expected.member)
        assert found.version == expected.version


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("day/b.wav", Reason.NOT_FOUND),
        ("calls.zip!/x/c.wav", Reason.NOT_FOUND),
        ("none.zip!/x/c.wav", Reason.NOT_FOUND),
        ("day", Reason.NOT_A_FILE),
        ("../secret.wav", Reason.OUTSIDE_ROOT),
        ("day/../../secret.wav", Reason.OUTSIDE_ROOT),
        ("day/../day/a.wav", Reason.OUTSIDE_ROOT),
        ("out.wav", Reason.OUTSIDE_ROOT),
        ("above/secret.wav", Reason.OUTSIDE_ROOT),
        ("out.zip!/x/b.wav", Reason.OUTSIDE_ROOT),
        ("/etc/passwd", Reason.OUTSIDE_ROOT),
        ("s3://bucket/a.wav", Reason.OUTSIDE_ROOT),
        ("https://host/a.wav", Reason.OUTSIDE_ROOT),
        ("a\0.wav", Reason.FETCH_FAILED),
    ],
)
def test_what_is_not_there_or_outside_is_an_error(root: Path, name: str, reason: Reason) -> None:
    found = BelowRoot("--audio", str(root)).find(name)
    assert found.error
    assert found.error.reason is reason


def test_an_absolute_name_inside_is_found(root: Path) -> None:
    found = BelowRoot("--audio", str(root)).find(str(root / "day" / "a.wav"))
    assert (found.error, found.size_bytes) == (None, 5)


@given(st.binary(min_size=1, max_size=20).filter(lambda name: b"\0" not in name))
def test_a_path_follows_from_its_name(path: bytes) -> None:
    assert os.fsencode(path_of(table_name(os.fsdecode(path)))) == path


def test_in_an_object_store(bucket: str, root: Path) -> None:
    folder = open_folder(f"{bucket}/calls")
    for name in ("day/a.wav", "calls.zip"):
        folder.write(name, (root / name).read_bytes())
    below = BelowRoot("--audio", f"{bucket}/calls/")
    assert below.find("day/a.wav").error is None
    assert below.find(f"{bucket}/calls/day/a.wav").error is None
    assert below.find("calls.zip!/x/b.wav").member
    for name in ("day/b.wav", "calls.zip!/x/c.wav"):
        error = below.find(name).error
        assert error
        assert error.reason is Reason.NOT_FOUND
    for name in ("../x.wav", f"{bucket}/other/a.wav", "/day/a.wav"):
        error = below.find(name).error
        assert error
        assert error.reason is Reason.OUTSIDE_ROOT
    with pytest.raises(UsageError, match=r"--audio .*: nothing is there"):
        BelowRoot("--audio", f"{bucket}/nothing")
