"""What a training minimises: cross-entropy with labels or a teacher, and a distance to its mind."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from batch_ser.errors import UsageError
from batch_ser.features import Features
from models.network import Network
from train.recipes import Recipe

IMPOSSIBLE = -1e4  # a logit without probability or gradient; minus infinity times 0 is no number


class Batch(NamedTuple):
    """What a step hears, and what it should say."""

    features: Features
    targets: Tensor  # (batch, labels)
    possible: Tensor  # (batch, labels): what a recording's corpus can say at all
    embeddings: Tensor | None = None  # what its teacher's first head hears, (batch, width)

    def to(self, device: torch.device) -> "Batch":
        """All of it on a device."""
        features = Features(*(each.to(device) for each in self.features))
        rest = (None if each is None else each.to(device) for each in self[1:])
        return Batch(features, *rest)  # type: ignore[arg-type]


def loss_of(
    network: Network, recipe: Recipe, batch: Batch, weights: Tensor | None, mixed: bool
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and its logits (batch, labels)."""
    possible = batch.possible
    with torch.autocast(possible.device.type, torch.bfloat16, enabled=mixed):
        if recipe.mimic:
            embeddings = network.represent(batch.features)
            logits = network.classify(embeddings)
        else:
            logits = network.upper(batch.features)
    smooth = recipe.label_smoothing * possible / possible.sum(1, keepdim=True)
    wanted = (1 - recipe.label_smoothing) * batch.targets + smooth
    heard = _possible(logits, possible)
    loss = F.cross_entropy(heard, wanted, weight=weights)
    if batch.embeddings is not None and recipe.mimic:
        apart = F.mse_loss(embeddings[:, : network.heard_width].float(), batch.embeddings)
        loss = loss + recipe.mimic * apart / batch.embeddings.var(0).mean().clamp(min=1e-6)
    return loss, heard


def _possible(logits: Tensor, possible: Tensor) -> Tensor:
    """Logits of which the impossible ones count for nothing."""
    return logits.float().masked_fill(~possible, IMPOSSIBLE)


def finite(value: float, epoch: int, rate: float, field: str = "learning_rate") -> float:
    """A loss that is a number; `field` of the recipe holds the learning rate.

    Raises:
        UsageError: it is none.
    """
    if not math.isfinite(value):
        raise UsageError(
            f"epoch {epoch}: the loss is {value}: the training diverged; give a lower "
            f"--set {field} (it is {rate:g})"
        )
    return value
