"""Progress bars on standard error: updated often on a terminal, and once a minute elsewhere."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def every_s() -> float:
    """Seconds between two updates of a progress bar on standard error."""
    return 0.5 if sys.stderr.isatty() else 60.0


def counted(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items, with a progress bar if they take longer than until its first update."""
    yield from tqdm(items, what, total, mininterval=every_s(), delay=every_s())
