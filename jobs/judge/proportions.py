"""Shares and their intervals, from labelled segments that were sampled with known probabilities.

The unit of all intervals is the recording: segments of one are alike. Weights are 1 / the
probability with which a segment was sampled.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

CONFIDENCE = 0.95
Array = NDArray[np.float64]
Units = NDArray[np.int64]


@dataclass(frozen=True)
class Estimate:
    """A share from 0 to 1, with its interval of 95 %, if there is one."""

    value: float
    low: float | None = None
    high: float | None = None

    def as_json(self) -> dict[str, float | None]:
        """As `metrics.json` has it."""
        return {"value": self.value, "low": self.low, "high": self.high}


def share(hits: Array, weights: Array, units: Units) -> Estimate | None:
    """The weighted mean of `hits` (n,), from 0 to 1 each; None of no segments.

    `units` (n,) are the numbers of the recordings. The interval is Wilson's with the effective
    number of segments, that with which independent ones would have this variance, and t for few
    recordings. Source: Korn and Graubard 1998, Survey Methodology 24 (who took the interval of
    Clopper and Pearson).
    """
    if not len(hits):
        return None
    value = float(np.average(hits, weights=weights))
    residuals = hits - value
    names, own = np.unique(units, return_inverse=True)
    groups = len(names)
    if groups < 2:
        return Estimate(value)
    sums = np.bincount(own, weights * residuals) / weights.sum()
    variance = groups / (groups - 1) * float(sums @ sums)
    number = float(weights.sum() ** 2 / (weights @ weights))  # Kish's, where nothing varies
    if variance > 0 and 0 < value < 1:
        number = min(value * (1 - value) / variance, len(weights))
    quantile = float(stats.t.ppf(0.5 + CONFIDENCE / 2, groups - 1))
    return Estimate(value, *wilson(value, number, quantile))


def wilson(value: float, number: float, quantile: float) -> tuple[float, float]:
    """Wilson's interval of a share of `number` independent ones."""
    extra = quantile**2 / number
    middle = (value + extra / 2) / (1 + extra)
    half = quantile / (1 + extra) * np.sqrt(value * (1 - value) / number + extra / (4 * number))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))
