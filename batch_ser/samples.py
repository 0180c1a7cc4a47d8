"""Samples as every stage hands them on: float32, from -1 to 1, at most a little more."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
