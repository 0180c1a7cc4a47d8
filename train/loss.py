"""What a training minimises: cross-entropy with labels or a teacher, and a distance to its mind."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from batch_ser.features import Features
from models.network import Network
from train.recipes import Recipe

IMPOSSIBLE = -1e4  # a logit without probability or gradient; minus infinity times 0 is no number


class Batch(NamedTuple):
    """What a step hears, and what it should say."""

    features: Features
    targets: Tensor  # (batch, labels)
    possible: Tensor  # (batch, labels): what a recording's corpus can say at all
    embeddings: Tensor | None = None  # a teacher's, (batch, width)
    offsets: Tensor | None = None  # of each recording's group from all, (batch, width)
    states: Features | None = None  # a teacher's, (batch, axes, time)

    def to(self, device: torch.device) -> "Batch":
        """All of it on a device."""

        def there(each: Tensor | Features | None) -> Tensor | Features | None:
            if isinstance(each, Features):
                return Features(*(one.to(device) for one in each))
            return None if each is None else each.to(device)

        return Batch(*map(there, self))  # type: ignore[arg-type]


def loss_of(
    network: Network,
    recipe: Recipe,
    batch: Batch,
    weights: Tensor | None,
    mixed: bool,
    frames_alone: bool = False,
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and its logits (batch, labels).

    With `frames_alone` it is the distance from the teacher's states and nothing else.
    """
    possible = batch.possible
    adapted = None
    with torch.autocast(possible.device.type, torch.bfloat16, enabled=mixed):
        if recipe.mimic or recipe.adapt or recipe.imitate:
            if batch.states is not None:
                embeddings, imitated = network.represent_and_imitate(batch.features)
            else:
                embeddings = network.represent(batch.features)
            logits = network.classify(embeddings)
            if batch.offsets is not None:
                adapted = network.classify_adapted(embeddings - batch.offsets)
        else:
            logits = network.upper(batch.features)
    smooth = recipe.label_smoothing * possible / possible.sum(1, keepdim=True)
    wanted = (1 - recipe.label_smoothing) * batch.targets + smooth

    def distance(logits: Tensor) -> Tensor:
        heard = logits.float().masked_fill(~possible, IMPOSSIBLE)
        return F.cross_entropy(heard, wanted, weight=weights)

    heard = logits.float().masked_fill(~possible, IMPOSSIBLE)
    if batch.states is not None and frames_alone:
        return frame_distance(imitated, batch.states), heard
    loss = distance(logits)
    if batch.states is not None:
        loss = loss + recipe.imitate * frame_distance(imitated, batch.states)
    if batch.embeddings is not None and recipe.mimic:
        apart = F.mse_loss(embeddings.float(), batch.embeddings)
        loss = loss + recipe.mimic * apart / batch.embeddings.var(0).mean().clamp(min=1e-6)
    if adapted is not None:
        loss = loss + recipe.adapt * distance(adapted)
    return loss, heard


def frame_distance(imitated: Tensor, states: Features) -> Tensor:
    """Mean squared distance of a student's frames (batch, time, axes) from a teacher's."""
    length = min(imitated.shape[1], states.values.shape[2])
    mask = torch.arange(length, device=imitated.device) < states.frames[:, None]
    apart = imitated[:, :length].float() - states.values.transpose(1, 2)[:, :length]
    return (apart.square().mean(2) * mask).sum() / mask.sum().clamp(min=1)
