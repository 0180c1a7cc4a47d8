"""The documents of the repository: their pages, fenced blocks, headings and command lines."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
FOLDERS = (".", "docs", "models/checkpoints", "examples/calls")  # that hold Markdown files
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    text: str

    def commands(self) -> Iterator[list[str]]:
        """The arguments of each line that calls `batch-ser`, without comments."""
        for line in self.text.replace("\\\n", " ").splitlines():
            if line.startswith("batch-ser ") and not line.startswith("batch-ser: "):
                yield shlex.split(line, comments=True)[1:]


def pages() -> list[Path]:
    """Every Markdown file."""
    return sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).glob("*.md"))


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    name = str(page.relative_to(REPOSITORY))
    return [Block(name, *found.groups()) for found in FENCE.finditer(read(name))]


def section(text: str, heading: str) -> str:
    """What is below a heading, up to the next one of its level or a higher one."""
    level = re.match("#+", heading)
    assert level
    assert f"\n{heading}\n" in text, heading
    below = text[text.index(f"\n{heading}\n") + len(heading) + 2 :]
    end = re.search(rf"^#{{1,{len(level[0])}}} ", below, re.MULTILINE)
    return below[: end.start()] if end else below


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in a text."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def anchors(text: str) -> set[str]:
    """What links to a heading of a page name, as GitHub and the site make it of its text."""
    plain = FENCE.sub("", text)
    titles = re.findall(r"^#+ (.*)$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def links(text: str) -> list[str]:
    """The targets of a page's links, but not those of its fenced blocks."""
    plain = re.sub(r"`[^`\n]*`", "", FENCE.sub("", text))
    return re.findall(r"\]\(([^)\s]+)\)", plain)
