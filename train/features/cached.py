"""Features of the pieces of recordings in two files: the values, mapped from disk, and an index.

The index is written last: where it is complete and the values have the size that it states, both
files are used, and nothing is computed again.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.features import Features, pad
from models.batching import batches

AT_ONCE = 32  # of the longest pieces, in a batch


class Piece(NamedTuple):
    """A part of a recording that a network takes at once."""

    features: NDArray[np.float32]  # (bands, frames)
    samples: int
    new_samples: int  # the last piece of a recording overlaps the one before


@dataclass(frozen=True)
class CachedFeatures:
    """Features of pieces, one behind the other, and to which recording each belongs."""

    frames: NDArray[np.float32]  # (all frames, bands)
    ends: NDArray[np.int64]  # (pieces,): in frames
    recordings: NDArray[np.int64]  # (pieces,): the recording's number
    weights: NDArray[np.int64]  # (pieces,): new samples, for the mean over a recording's pieces
    durations_s: NDArray[np.float64]  # (pieces,): of the samples that the features are of
    files: tuple[Path, ...] = ()

    def length(self, number: int) -> int:
        """Frames of one piece."""
        return int(self.ends[number] - (self.ends[number - 1] if number else 0))

    def piece(self, number: int) -> torch.Tensor:
        """One piece's features (bands, frames)."""
        start = self.ends[number - 1] if number else 0
        return torch.from_numpy(np.array(self.frames[start : self.ends[number]].T))

    def batches(
        self, numbers: NDArray[np.int64], device: torch.device
    ) -> Iterator[tuple[NDArray[np.int64], Features]]:
        """Some pieces in batches of similar length: their numbers and their features."""
        lengths = np.diff(self.ends, prepend=0)[numbers]
        for rows in batches(lengths, AT_ONCE * lengths.max(initial=1)):
            chosen = numbers[rows]
            yield chosen, pad([self.piece(int(number)) for number in chosen], device)

    def remove(self) -> None:
        """Delete what is on disk."""
        for file in self.files:
            file.unlink(missing_ok=True)


def cached(
    path: Path, rate_hz: int, compute: Callable[[], Iterable[list[Piece]]]
) -> CachedFeatures:
    """The features at a path without suffix, computed only where they are not there.

    `compute` yields the pieces of each recording in order.
    """
    files = index, values = path.with_suffix(".npy"), path.with_suffix(".f32")
    if not _complete(index, values):
        _write(index, values, compute())
    table = np.load(index)
    frames = np.memmap(values, np.float32, "r").reshape(-1, int(table[0, 3]))
    durations_s = table[:, 4] / rate_hz
    return CachedFeatures(frames, table[:, 0], table[:, 1], table[:, 2], durations_s, files)


def _complete(index: Path, values: Path) -> bool:
    """Whether both files are there, and whole: a disk may have been full, a version older."""
    try:
        table = np.load(index)
        size = 4 * int(table[-1, 0]) * int(table[0, 3])
        return table.shape[1] == 5 and values.stat().st_size == size
    except (OSError, ValueError, EOFError, IndexError):
        return False


def _write(index: Path, values: Path, recordings: Iterable[list[Piece]]) -> None:
    """Write the values as they are computed, then the index."""
    values.parent.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[int, int, int, int, int]] = []
    end = 0
    partial = values.with_name(f"{values.name}.{os.getpid()}")
    with partial.open("wb") as file:
        for recording, pieces in enumerate(recordings):
            for features, samples, new_samples in pieces:
                bands, frames = features.shape
                end += frames
                rows.append((end, recording, new_samples, bands, samples))
                file.write(np.ascontiguousarray(features.T).tobytes())
    partial.replace(values)
    partial = index.with_suffix(f".{os.getpid()}")
    with partial.open("wb") as file:
        np.save(file, np.array(rows, np.int64))
    partial.replace(index)
