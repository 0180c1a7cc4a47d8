"""Groups of recordings: one voice, one corpus. The adapted head hears what differs from a group.

What all recordings of a voice have in common says who speaks, and into what; what differs between
them says how. A head that hears embeddings relative to their group's mean need not tell the two
apart. Nobody's label is needed for that: a job knows its groups, too.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.features import pad
from models.network import Network
from train.utterances import Utterance

AT_ONCE = 64
WIDER = 0.3  # share of recordings that are taken relative to their corpus, not their voice
Rows = NDArray[np.int64]
Groups = tuple[Rows, Rows]  # of each recording, its voice and its corpus; -1: not known


def groups_of(utterances: Sequence[Utterance]) -> Groups:
    """Of each recording, the number of its voice and of its corpus; -1: it is not known whose."""
    voices = [f"{each.corpus}\n{each.speaker}" if each.speaker else "" for each in utterances]
    corpora = [each.corpus for each in utterances]
    return _numbered(voices), _numbered(corpora)


def _numbered(names: Sequence[str]) -> Rows:
    numbers = {name: number for number, name in enumerate(sorted(set(names) - {""}))}
    return np.array([numbers.get(name, -1) for name in names], np.int64)


@torch.inference_mode()
def embeddings_of(
    network: Network, heard: Callable[[int], torch.Tensor], rows: Rows, device: torch.device
) -> torch.Tensor:
    """Embeddings (rows, width) of recordings' features, which `heard` gives (bands, frames)."""
    network.eval()
    found = []
    for first in range(0, len(rows), AT_ONCE):
        each = [heard(int(row)) for row in rows[first : first + AT_ONCE]]
        found.append(network.represent(pad(each, device)).float().cpu())
    return torch.cat(found).clone()


def offsets(
    embeddings: torch.Tensor, rows: Rows, groups: Groups, draw: np.random.Generator
) -> torch.Tensor:
    """How far the mean of each recording's group lies from that of all: (recordings, width).

    The group is the voice, now and then the corpus.
    """
    relative = embeddings - embeddings.mean(0)
    wider = torch.from_numpy(draw.random(len(groups[0])) < WIDER)
    voices, corpora = (group_means(relative, rows, each) for each in groups)
    return torch.where(wider[:, None], corpora, voices)


def describe(network: Network, embeddings: torch.Tensor, rows: Rows, groups: Groups) -> None:
    """Store in a network what its training's embeddings (rows, width) are like."""
    network.centre.copy_(embeddings.mean(0))
    within = embeddings - group_means(embeddings, rows, groups[0])[torch.from_numpy(rows)]
    network.spread.copy_(within.std(0))


def group_means(embeddings: torch.Tensor, rows: Rows, groups: Rows) -> torch.Tensor:
    """Of every recording (recordings, width) its group's mean over `rows`, whose embeddings these
    are (rows, width); zero where the group is not known or has none.
    """
    count = int(groups.max(initial=0)) + 1
    known = groups[rows] >= 0
    numbers = torch.from_numpy(groups[rows][known])
    sums = torch.zeros(count, embeddings.shape[1]).index_add_(
        0, numbers, embeddings[torch.from_numpy(known)]
    )
    sizes = torch.bincount(numbers, minlength=count).clamp(min=1)
    means = torch.cat([sums / sizes[:, None], torch.zeros(1, embeddings.shape[1])])
    return means[torch.from_numpy(groups)]  # -1 is the last row
