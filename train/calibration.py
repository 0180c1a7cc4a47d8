"""One temperature that makes held-out probabilities honest."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

COLDEST, HOTTEST = 0.1, 10.0


def best_temperature(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    """The temperature by which held-out logits (n, labels) are divided for the least loss.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks.
    """

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled = scaled - scaled.max(1, keepdims=True)
        log_p = scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
        return float(-log_p[np.arange(len(truth)), truth].mean())

    return float(minimize_scalar(loss, bounds=(COLDEST, HOTTEST), method="bounded").x)
