"""Samples as all stages exchange them: float32, from -1 to 1, or a little beyond."""

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]
BLOCK_VALUES = 1 << 18  # values per block over all channels: 1 MB, 16 s of 16 kHz mono
MIN_RATE_HZ = 4_000
MAX_RATE_HZ = 384_000
MAX_CHANNELS = 128  # the tables number them from 0 in an int8
