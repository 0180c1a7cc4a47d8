"""What a training minimises: cross-entropy among the labels that a recording's corpus has."""

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
    """The features of a step's recordings, and their targets."""

    features: Features
    targets: Tensor  # (batch, labels)
    possible: Tensor  # (batch, labels): what a recording's corpus can say at all

    def to(self, device: torch.device) -> "Batch":
        """All of it on a device."""
        features = Features(*(each.to(device) for each in self.features))
        return Batch(features, self.targets.to(device), self.possible.to(device))


def loss_of(
    network: Network, recipe: Recipe, batch: Batch, weights: Tensor | None, mixed: bool
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and its logits (batch, labels)."""
    possible = batch.possible
    with torch.autocast(possible.device.type, torch.bfloat16, enabled=mixed):
        logits = network.forward_trainable(batch.features)
    smooth = recipe.label_smoothing * possible / possible.sum(1, keepdim=True)
    wanted = (1 - recipe.label_smoothing) * batch.targets + smooth
    masked = logits.float().masked_fill(~possible, IMPOSSIBLE)
    return F.cross_entropy(masked, wanted, weight=weights), masked


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
