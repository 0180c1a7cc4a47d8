"""Who speaks on which channel, as options and manifests state it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_ser.errors import UsageError
from batch_ser.inputs import InputFile, normal_roles, parse_roles

NAMES = st.text("abcxyz äß-_.", min_size=1).map(str.strip).filter(bool)


@given(
    roles=st.dictionaries(st.integers(0, 127), NAMES, min_size=1), separator=st.sampled_from(",;")
)
def test_roles_are_read_as_they_were_written(roles: dict[int, str], separator: str) -> None:
    text = separator.join(f" {number} = {role} " for number, role in roles.items())
    assert parse_roles(text) == roles
    assert [*parse_roles(text)] == sorted(roles)
    assert parse_roles(normal_roles(roles)) == roles


def test_one_way_of_writing_roles() -> None:
    assert normal_roles(parse_roles("1=customer; 0=agent")) == "0=agent,1=customer"
    assert parse_roles(" ") == {}


@pytest.mark.parametrize(
    "text",
    [
        "agent",
        "0=",
        "=agent",
        "0=agent,",
        "0=agent,0=customer",
        "-1=agent",
        "1.0=agent",
        "128=agent",
        "0=agent 1=customer",
    ],
)
def test_what_gives_no_roles_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"found {text}"):
        parse_roles(text)


def test_with_other_roles_it_is_another_version_of_a_file() -> None:
    files = [
        InputFile("a", "a", given_segments=g, roles=r) for g in (b"", b"[]") for r in ("", "0=a")
    ]
    assert len({each.version for each in files}) == 4
    assert files[0].given_digest == ""
