"""Temperature scaling: one number that calibrates held-out probabilities."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

LOWEST, HIGHEST = 0.1, 100.0  # of 50 recordings, a head with an offset needs up to 30


def best_temperature(
    logits: NDArray[np.float64],
    truth: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
    log_prior: NDArray[np.float64] | float = 0.0,
) -> float:
    """The temperature by which held-out logits (n, labels) are divided for the least loss.

    Recordings count by `weights` (n,); `log_prior` (n, labels) is added after the division.
    Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
    """

    def loss(log_temperature: float) -> float:
        return weighted_loss(logits / np.exp(log_temperature) + log_prior, truth, weights)

    bounds = np.log((LOWEST, HIGHEST))
    return float(np.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x))


def is_calibrated(temperature: float) -> bool:
    """Whether a temperature is the best one, and not where the search ended."""
    return 1.01 * LOWEST < temperature < 0.99 * HIGHEST


def weighted_loss(
    logits: NDArray[np.float64],
    truth: NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> float:
    """The mean cross-entropy of logits (n, labels) with labels (n,), weighted by `weights` (n,)."""
    scaled = logits - logits.max(1, keepdims=True)
    log_p = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
    return float(-np.average(log_p[np.arange(len(truth)), truth], weights=weights))
