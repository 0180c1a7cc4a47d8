"""Adaptation: a segment's probabilities in the light of its group, without anybody's labels.

What a group's embeddings have in common is the voice, the room, the line, if its emotions are
mixed; where they are not, it is the emotion itself, which must not be taken away. So the second
head, which hears embeddings relative to their group's mean, counts the less, the smaller the
group, the more one emotion outweighs the others in what the first head says of it, and the less
what the experts say of its segments differs, compared with a voice in training.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from batch_ser.groups import Group
from models.network import Network

Floats = NDArray[np.floating]
FEWEST = 4  # segments, up to which a group tells nothing
HALFWAY = 8  # segments beyond these, at which its mean counts half
EVEN, UNEVEN = 0.25, 0.5  # how far the commonest emotion's share may lie above chance, on the way
# to all: 0.34 and 0.56 of eight emotions; up to the first all is well, from the second nothing
ALIKE, VARIED = 0.42, 0.7  # a group's variance in what the experts say, in that of a voice of the
# training, which has all emotions: up to the first it may be one emotion, from the second not


def weight_of(group: Group, variety: Floats, balanced: bool) -> tuple[Floats, Floats]:
    """How far a segment is moved (n,), and how much the second head counts (n,), both 0 to 1.

    `variety` (n,) is that of each segment's group, which `variety_of` tells. `balanced` promises
    that every group holds all emotions about as often, as acted corpora do: then both are 1 from
    two segments on.
    """
    if balanced:
        every = (group.counts > 1).astype(np.float64)
        return every, every
    beyond = np.maximum(group.counts - FEWEST, 0.0)
    moved = beyond / (beyond + HALFWAY)
    chance = 1 / group.probabilities.shape[1]
    above = (group.probabilities.max(1) - chance) / (1 - chance)
    even = np.clip((UNEVEN - above) / (UNEVEN - EVEN), 0.0, 1.0)
    varied = np.clip((variety - ALIKE) / (VARIED - ALIKE), 0.0, 1.0)
    return moved, moved * even * varied


def variety_of(network: Network, group: Group) -> Floats:
    """The variance of what the experts say in each segment's group, in that of a voice in training:
    the mean over the labels that they know (n,).
    """
    said = np.flatnonzero(network.known.cpu().numpy()) + network.heard_width
    spread = network.spread.cpu().numpy()[said]
    return np.asarray((group.variances[:, said] / np.square(spread)).mean(1))


@torch.inference_mode()
def adapt(
    network: Network,
    temperature: float,
    embeddings: Floats,
    probabilities: Floats,
    group: Group,
    balanced: bool = False,
) -> NDArray[np.float32]:
    """Probabilities (n, labels) of segments with embeddings (n, width), given their groups.

    Where a group has no say they are the very `probabilities` (n, labels) that came in.
    """
    moved, share = weight_of(group, variety_of(network, group), balanced)
    offsets = group.embeddings - network.centre.cpu().numpy()
    relative = embeddings - moved[:, None] * offsets
    device = network.centre.device
    heard, means = (torch.from_numpy(x.astype(np.float32)).to(device) for x in (relative, offsets))
    logits = network.classify_adapted(heard, network.resemblance(means)) / temperature
    told = torch.softmax(logits.double(), 1).cpu().numpy()
    mixed = (1 - share)[:, None] * probabilities + share[:, None] * told
    mixed /= mixed.sum(1, keepdims=True)
    return np.where(share[:, None] > 0, mixed, probabilities).astype(np.float32)
