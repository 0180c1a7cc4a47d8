"""docs/reference.md is what `make reference` makes of the code."""

from types import ModuleType

import pytest
from conftest import REPOSITORY
from documents import read
from scripts import module_of


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    return module_of(REPOSITORY / "docs" / "make_reference.py")


def test_the_reference_is_up_to_date(maker: ModuleType) -> None:
    assert read("docs/reference.md") == maker.reference(), "make reference"
