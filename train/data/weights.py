"""Weights of a manifest's lines, such as those that `import-labels` writes for a sample."""

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from batch_ser.inputs import Row, printable

WEIGHT = "weight"
LEAST, MOST = 1e-6, 1e9  # sums of weights stay exact enough, and finite


def parse_weight(text: str) -> float | None:
    """A weight; None if a text is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and LEAST <= value <= MOST else None


def weight_faults(text: str) -> Iterator[str]:
    """What is wrong with a line's weight, if anything is; an empty one is 1."""
    if text and parse_weight(text) is None:
        expected = f"expected a number from {LEAST:g} to {MOST:g}, or nothing for 1"
        yield f"the weight is {printable(text)}, {expected}"


def report_lacking(path: Path, rows: Sequence[Row], word: str) -> None:
    """How many lines have no weight, where others have one."""
    lacking = sum(not row.values.get(WEIGHT) for row in rows)
    if 0 < lacking < len(rows):
        print(
            f"{path}: {lacking:,} of {len(rows):,} {word}s have no weight and count as 1",
            file=sys.stderr,
        )
