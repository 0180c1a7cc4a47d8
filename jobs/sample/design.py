"""How many segments of each cell are drawn: a stratified design with exact probabilities.

Each part of the sample (uniform, strata, least certain) adds to the expected number of segments of
a cell; that divided by the cell's size is the probability of each segment in it, the same for all.
So the parts make one draw without repetition, of a size that is known, and not several that
overlap. Expected numbers become whole ones by systematic sampling over the cells, which keeps each
expectation and the total (Madow 1949; Tillé, Sampling Algorithms, 2006, section 7.1).
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from jobs.sample.strata import Cell

Counts = NDArray[np.float64]  # of the cells


@dataclass(frozen=True)
class Shares:
    """What parts a sample has.

    Raises:
        UsageError: a number out of its range.
    """

    tasks: int
    uniform: float  # of all tasks
    uncertain: float = 0.0  # of the others
    per_label: bool = False

    def __post_init__(self) -> None:
        if self.tasks < 1:
            raise UsageError(f"--n {self.tasks}: expected 1 or more")
        for name, share in (("uniform", self.uniform), ("uncertain", self.uncertain)):
            if not 0 <= share <= 1:
                raise UsageError(f"--{name} {share:g}: expected a share from 0 to 1")
        if self.uncertain == 1 and not self.uniform:
            raise UsageError(
                "--uncertain 1 with --uniform 0: most segments could not be drawn, and weights "
                "would not stand for them; expected a share of less than 1, or some --uniform"
            )

    @property
    def least_certain(self) -> int:
        """How many are drawn for their low margin, about; 0 only if none are wanted."""
        return ceil(self.tasks * (1 - self.uniform) * self.uncertain)


def expected_counts(cells: Sequence[Cell], sizes: NDArray[np.int64], shares: Shares) -> Counts:
    """How many segments of each cell are in the sample on average; at most all of them."""
    total = int(sizes.sum())
    if total <= shares.tasks:
        return sizes.astype(np.float64)
    uniform = shares.tasks * shares.uniform
    uncertain = (shares.tasks - uniform) * shares.uncertain
    least_certain = sizes * np.array([cell.is_uncertain for cell in cells])
    found = uniform * sizes / total
    found += uncertain * _equalised(least_certain, cells, _group, _whole)
    found += (shares.tasks - uniform - uncertain) * _of_strata(cells, sizes, shares.per_label)
    return _bounded(found, sizes)


def whole_counts(expected: Counts, start: float) -> NDArray[np.int64]:
    """Whole numbers, each the next lower or higher one, which sum to the sum of `expected`.

    Of all `start` from 0 to 1 each number has its expected value as mean.
    """
    sums = np.round(expected.cumsum(), 6)  # whole numbers that floats miss are whole again
    return np.diff(np.floor(sums + start), prepend=np.floor(start)).astype(np.int64)


def _of_strata(cells: Sequence[Cell], sizes: NDArray[np.int64], per_label: bool) -> Counts:
    """Shares of the cells: by roots of the sizes of strata; `per_label` equal among labels.

    That is between equal numbers, where a label is best known by itself, and numbers in proportion
    to sizes, where all segments together are: power allocation with exponent 1/2 (Bankier 1988).
    """
    strata = _sums(sizes, cells, _stratum)
    weights = sizes / np.sqrt(strata)
    return _equalised(weights, cells, *([_label] if per_label else []), _group, _whole)


def _group(cell: Cell) -> Hashable:
    return cell.group


def _label(cell: Cell) -> Hashable:
    return cell.group, cell.label


def _stratum(cell: Cell) -> Hashable:
    return cell.group, cell.label, cell.third


def _whole(_: Cell) -> Hashable:
    return None


def _equalised(weights: Counts, cells: Sequence[Cell], *keys: Callable[[Cell], Hashable]) -> Counts:
    """Weights that sum to 1 in all: cells of one key together as much as those of another.

    The first key is the finest one.
    """
    for key in keys:
        sums = _sums(weights, cells, key)
        weights = np.divide(weights, sums, out=np.zeros(len(cells)), where=sums > 0)
    return weights


def _sums(
    weights: Counts | NDArray[np.int64], cells: Sequence[Cell], key: Callable[[Cell], Hashable]
) -> Counts:
    """For each cell the sum over all that have its key."""
    numbers: dict[Hashable, int] = {}
    at = np.array([numbers.setdefault(key(cell), len(numbers)) for cell in cells])
    sums: Counts = np.bincount(at, weights)[at]
    return sums


def _bounded(expected: Counts, sizes: NDArray[np.int64]) -> Counts:
    """At most all segments of a cell; what is too much goes to the others, in proportion."""
    found, total = expected.copy(), expected.sum()
    while (full := found >= sizes).any():
        found[full] = sizes[full]
        left = total - sizes[full].sum()
        others = found[~full].sum()
        if (found <= sizes).all() and np.isclose(others, left):
            break
        found[~full] *= left / others
    return found
