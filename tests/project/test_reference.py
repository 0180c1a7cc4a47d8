"""docs/reference.md is what `make reference` makes of the code."""

import importlib.util
from types import ModuleType

import pytest
from conftest import REPOSITORY
from documents import read


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    path = REPOSITORY / "docs" / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_reference_is_up_to_date(maker: ModuleType) -> None:
    assert read("docs/reference.md") == maker.reference(), "make reference"
