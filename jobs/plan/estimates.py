"""Totals estimated from a stratified sample by ratios, with their standard errors.

The estimator is the separate ratio estimator, and its variance the usual linear approximation with
the finite population correction (Cochran, Sampling Techniques, 3rd edition, 6.4 and 6.10): what
was measured completely has no error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

ERRORS = 2.0  # standard errors on each side: about 95 %
# of a single unit where no stratum has two that could be compared: a guess, on the wide side
UNKNOWN_DEVIATION = 0.3
Key = TypeVar("Key")


@dataclass(frozen=True)
class Estimate:
    """A figure and its standard error, in the same unit."""

    value: float
    error: float = 0.0

    @property
    def low(self) -> float:
        return max(0.0, self.value - ERRORS * self.error)

    @property
    def high(self) -> float:
        return self.value + ERRORS * self.error

    def __add__(self, other: "Estimate") -> "Estimate":
        """The sum of two whose errors go the same way, as those of one sample do."""
        return Estimate(self.value + other.value, self.error + other.error)

    def __mul__(self, factor: float) -> "Estimate":
        return Estimate(self.value * factor, self.error * factor)

    def as_json(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Units:
    """Units of a sample of one stratum: what is known of all, `x`, and what was measured, `y`."""

    x: Sequence[float] = ()
    y: Sequence[float] = ()


def ratios(sample: Mapping[Key, Units], left: Mapping[Key, float]) -> dict[Key, Estimate]:
    """y for each x of each stratum; `left` is the share of the stratum that was not measured.

    A stratum without units, or whose x are all 0, has the ratio of all others together. The
    deviation of a single unit is that within the other strata.
    """
    values = {
        key: (np.array(each.x, float), np.array(each.y, float)) for key, each in sample.items()
    }
    if not values:
        return {}
    all_x, all_y = (np.concatenate(each) for each in zip(*values.values(), strict=True))
    whole = _ratio(all_x, all_y)
    deviation = _pooled_deviation(values)
    found = {}
    for key, (x, y) in values.items():
        if not x.sum() > 0:
            found[key] = Estimate(whole, whole * max(deviation, UNKNOWN_DEVIATION))
            continue
        ratio = _ratio(x, y)
        error = _error(x, y, ratio) if len(x) > 1 else ratio * deviation
        found[key] = Estimate(ratio, error * math.sqrt(left[key]))
    return found


def total(amounts: Mapping[Key, Estimate], each: Mapping[Key, Estimate]) -> Estimate:
    """The sum over strata of an amount times a ratio."""
    value = sum(amounts[key].value * each[key].value for key in amounts)
    variance = sum(
        (amounts[key].error * each[key].value) ** 2 + (amounts[key].value * each[key].error) ** 2
        for key in amounts
    )
    return Estimate(value, math.sqrt(variance))


def _ratio(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return float(y.sum() / x.sum()) if x.sum() > 0 else 0.0


def _error(x: NDArray[np.float64], y: NDArray[np.float64], ratio: float) -> float:
    """The standard error of a ratio of two units or more, without the correction."""
    residuals = y - ratio * x
    return float(math.sqrt(np.square(residuals).sum() / (len(x) - 1) / len(x)) / x.mean())


def _pooled_deviation(
    values: Mapping[Key, tuple[NDArray[np.float64], NDArray[np.float64]]],
) -> float:
    """The standard deviation of a single unit's ratio, relative to that of its stratum."""
    squares, freedom = 0.0, 0
    for x, y in values.values():
        ratio = _ratio(x, y)
        if len(x) > 1 and ratio > 0:
            squares += (_error(x, y, ratio) / ratio) ** 2 * len(x) * (len(x) - 1)
            freedom += len(x) - 1
    return math.sqrt(squares / freedom) if freedom else UNKNOWN_DEVIATION
