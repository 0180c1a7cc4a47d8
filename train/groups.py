"""Groups of recordings: one voice, one corpus, and their means."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from train.utterances import Utterance

Rows = NDArray[np.int64]
Groups = tuple[Rows, Rows]  # of each recording, its voice and its corpus; -1: not known


def groups_of(utterances: Sequence[Utterance]) -> Groups:
    """Of each recording, the number of its voice and of its corpus; -1: it is not known whose."""
    voices = [f"{each.corpus}\n{each.speaker}" if each.speaker else "" for each in utterances]
    corpora = [each.corpus for each in utterances]
    return _numbered(voices), _numbered(corpora)


def one_hot(numbers: Rows, rows: Rows) -> NDArray[np.float32]:
    """Of every recording (recordings, groups): 1 for its own, of the groups that `rows` have."""
    present = np.unique(numbers[rows])
    return np.asarray(numbers[:, None] == present[present >= 0], np.float32)


def _numbered(names: Sequence[str]) -> Rows:
    numbers = {name: number for number, name in enumerate(sorted(set(names) - {""}))}
    return np.array([numbers.get(name, -1) for name in names], np.int64)


def means_of(values: torch.Tensor, numbers: Rows) -> torch.Tensor:
    """Of each row (rows, width) the mean of the rows with its group's number (rows,)."""
    _, inverse = np.unique(numbers, return_inverse=True)
    rows = torch.from_numpy(inverse)
    sums = torch.zeros(int(inverse.max()) + 1, values.shape[1]).index_add_(0, rows, values)
    return (sums / torch.bincount(rows)[:, None])[rows]


def voices_of(groups: Groups, rows: Rows) -> Rows:
    """Numbers (rows,) of recordings' voices; of their corpora, where the voice is not known."""
    voices, corpora = (each[rows] for each in groups)
    return np.where(voices >= 0, voices, -1 - corpora)
