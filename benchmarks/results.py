"""Sections of docs/results.md: what was measured, by which command, where and when."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "docs" / "results.md"
SHARED = Path(os.environ.get("BATCH_SER_SHARED", "../shared"))


def machine() -> str:
    """This machine in a few words."""
    cores = len(os.sched_getaffinity(0))
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    name = models[0].partition(":")[2].strip() if models else platform.processor()
    return f"{cores} cores of {name}, Python {platform.python_version()}"


def write_section(name: str, command: str, lines: list[str]) -> None:
    """Replace a section of docs/results.md, or add it."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    stamp = f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {machine()}."
    section = "\n".join([begin, f"## {name}", "", stamp, "", *lines, end])
    text = RESULTS.read_text() if RESULTS.exists() else "# Results\n"
    if begin in text:
        before, after = text.split(begin)[0], text.split(end)[1]
        text = before + section + after
    else:
        text = f"{text.rstrip()}\n\n{section}\n"
    RESULTS.write_text(text)
    print(section)
