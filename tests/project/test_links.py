"""Every link of the documents leads somewhere, and the site has every page of the documents."""

import re
import tomllib
from pathlib import Path

import pytest
from conftest import REPOSITORY
from documents import anchors, links, pages, read


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(page.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        assert "://" not in target, f"{link}: a site that may be gone; write its name alone"
        place = (page.parent / target).resolve() if target else page
        assert place.exists(), link
        if anchor:
            assert anchor in anchors(place.read_text(encoding="utf-8")), link


def test_every_page_is_linked_from_the_readme_and_in_the_site() -> None:
    listed = {link.partition("#")[0] for link in links(read("README.md"))}
    site = tomllib.loads(read("zensical.toml"))["project"]
    shown = {page for entry in site["nav"] for page in entry.values()}
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert f"docs/{page.name}" in listed
        assert f"docs/{page.name}" in shown


def test_the_site_loads_nothing_from_outside() -> None:
    """`make docs` also searches the pages that it has built."""
    site = tomllib.loads(read("zensical.toml"))["project"]
    assert site["theme"]["font"] is False
    assert not re.search(r"https?://", read("zensical.toml"))
