"""Folders of any depth, links of all kinds, and names of any bytes: no file without a row."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.errors import Reason
from batch_ser.inputs.folders import Selection
from batch_ser.inputs.names import table_name
from batch_ser.inputs.walk import Walk

DEPTH = 1_200


def make(folder: Path, *files: str) -> None:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def errors(given: Path | str, **selection: tuple[str, ...]) -> dict[str, Reason | None]:
    """The inputs by name, in their order, each with what keeps it from being read."""
    listed = [*Walk((str(given),), Selection(**selection))]  # type: ignore[arg-type]
    found = {each.file: each.error and each.error.reason for each in listed}
    assert len(found) == len(listed)
    return found


def test_links_that_lead_nowhere_are_a_row_each(tmp_path: Path) -> None:
    """Also without the ending of a recording: it may be a folder on a disk that is missing."""
    make(tmp_path, "a.wav", "z.wav")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    (tmp_path / "itself.wav").symlink_to("itself.wav")
    (tmp_path / "there").symlink_to("back")
    (tmp_path / "back").symlink_to("there")
    (tmp_path / "2024").symlink_to(tmp_path / "unmounted" / "2024")
    (tmp_path / "left-out").symlink_to("nowhere")
    bad = dict.fromkeys(("2024", "back", "itself", "itself.wav", "there"), Reason.NOT_FOUND)
    expected = bad | {"a.wav": None, "z.wav": None}
    found = errors(tmp_path, exclude=("left*",))
    assert found == expected
    assert list(found) == sorted(expected)


@contextmanager
def deep(top: Path, name: str, depth: int) -> Iterator[Path]:
    """Folders within folders, with a file in the last; Python's rmtree cannot remove them."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        above, here = here, os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(above)
    os.close(os.open("a.wav", os.O_CREAT, dir_fd=here))
    os.close(here)
    yield top
    subprocess.run(["rm", "-rf", top], check=True)


def test_folders_within_folders(tmp_path: Path) -> None:
    """More of them than Python's recursion allows."""
    with deep(tmp_path, "d", DEPTH) as top:
        for pattern in ("", "**/*.wav", "**/**/[a-z]*.wav", "d*/**/?.wav", "**"):
            assert errors(top / pattern) == {"d/" * DEPTH + "a.wav": None}


def test_a_path_that_is_too_long_is_a_row(tmp_path: Path) -> None:
    name = "long" * 50
    with deep(tmp_path, name, 30) as top:
        ((file, reason),) = errors(top).items()
    assert reason is Reason.FETCH_FAILED
    assert set(file.strip("/").split("/")) == {name}


def test_doubled_links_do_not_double_the_inputs(tmp_path: Path) -> None:
    """Sixteen folders, each with two links to the next: 32,768 ways to one file."""
    for level in range(16):
        (tmp_path / f"{level}").mkdir()
        for link in ("x", "y"):
            (tmp_path / f"{level}" / link).symlink_to(tmp_path / f"{level + 1}")
    make(tmp_path, "16/a.wav")
    assert errors(tmp_path / "0") == {"/".join(["x"] * 16 + ["a.wav"]): None}
    assert errors(tmp_path / "0" / "**" / "*.wav") == {"/".join(["x"] * 16 + ["a.wav"]): None}
    assert errors(tmp_path) == {"16/a.wav": None}  # by its own name, and not by that of a link


def test_the_order_is_that_of_names(tmp_path: Path) -> None:
    make(tmp_path, "b/2.wav", "b/1.wav", "a.wav", "c.wav", "B/1.wav")
    assert list(errors(tmp_path)) == ["B/1.wav", "a.wav", "b/1.wav", "b/2.wav", "c.wav"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("**", ["a.wav", "d/b.wav", "d/e/c.wav"]),
        ("**/*.wav", ["a.wav", "d/b.wav", "d/e/c.wav"]),
        ("d/**/*.wav", ["b.wav", "e/c.wav"]),
        ("*/**/c.wav", ["d/e/c.wav"]),
        ("**/e/*", ["d/e/c.wav"]),
        ("**/*.txt", ["d/n.txt"]),
        ("**/d/**/e/**/?.wav", ["d/e/c.wav"]),
        ("**/d/*.wav", ["d/b.wav"]),
    ],
)
def test_globs_of_any_depth(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    make(tmp_path, "a.wav", "d/b.wav", "d/e/c.wav", "d/n.txt", ".h/x.wav", "d/.h.wav")
    assert list(errors(tmp_path / pattern)) == expected


def unescaped(name: str) -> bytes:
    return re.sub(
        rb"%(25|[89A-F][0-9A-F])", lambda found: bytes([int(found[1], 16)]), name.encode()
    )


@given(st.lists(st.sampled_from([*b"%2589AFf\xff\xe9\xc3\xa9 "]).map(lambda byte: bytes([byte]))))
def test_every_name_can_be_told_from_every_other(parts: list[bytes]) -> None:
    name = b"".join(parts)
    assert unescaped(table_name(os.fsdecode(name))) == name


def test_names_that_are_not_utf8_and_their_twins(tmp_path: Path) -> None:
    twins = {
        b"a\xff.wav": "a%FF.wav",
        b"a%FF.wav": "a%25FF.wav",
        b"a%25FF.wav": "a%2525FF.wav",
        "é 100%.wav".encode(): "é 100%.wav",  # nothing in it that would be misread
        b"my%20call.wav": "my%20call.wav",
    }
    for name in twins:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb"):
            pass
    assert errors(tmp_path) == dict.fromkeys(twins.values())
    assert errors(tmp_path / "*.wav") == dict.fromkeys(twins.values())
    for each in Walk((str(tmp_path),)):
        assert os.path.exists(each.path)
    (tmp_path / "list.csv").write_text("file,start_s,end_s\na%FF.wav,0,1\na%25FF.wav,0,1\n")
    assert errors(tmp_path / "list.csv") == {"a%25FF.wav": None, "a%2525FF.wav": None}
