"""Recordings that count more than others in a fit."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from train.data import Utterance

Floats = NDArray[np.float64]


def weights_of(utterances: Sequence[Utterance]) -> Floats:
    """The weight of each recording (n,)."""
    return np.array([each.weight for each in utterances], np.float64)


def moments(
    rows: NDArray[np.float32], weights: Floats | None
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Mean and standard deviation (width,) of rows (n, width); where all count the same, in the
    precision of the rows, as fits without weights have always had them.
    """
    if weights is None or (weights == weights[:1]).all():
        return rows.mean(0), rows.std(0)
    mean = np.average(rows, axis=0, weights=weights)
    return mean, np.sqrt(np.average(np.square(rows - mean), axis=0, weights=weights))
