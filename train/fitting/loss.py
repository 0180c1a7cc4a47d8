"""The loss: cross-entropy among the labels that a recording's corpus has."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from batch_ser.errors import UsageError
from batch_ser.features import Features
from models.network import Network

IMPOSSIBLE = -1e4  # a logit without probability or gradient; minus infinity times 0 is not a number


class Batch(NamedTuple):
    """The features of a step's recordings, and their targets."""

    features: Features
    targets: Tensor  # (batch, labels), whose sum is the recording's weight
    possible: Tensor  # (batch, labels): which labels a recording's corpus has

    def to(self, device: torch.device) -> "Batch":
        """All of it on a device."""
        features = Features(*(each.to(device) for each in self.features))
        return Batch(features, self.targets.to(device), self.possible.to(device))


def loss_of(
    network: Network, batch: Batch, label_smoothing: float, weights: Tensor | None, *, mixed: bool
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, with weights of the labels (labels,); its logits (batch, labels)."""
    possible = batch.possible
    with torch.autocast(possible.device.type, torch.bfloat16, enabled=mixed):
        logits = network.forward_trainable(batch.features)
    smooth = label_smoothing * possible / possible.sum(1, keepdim=True)
    smooth = smooth * batch.targets.sum(1, keepdim=True)
    targets = (1 - label_smoothing) * batch.targets + smooth
    masked = logits.float().masked_fill(~possible, IMPOSSIBLE)
    return F.cross_entropy(masked, targets, weight=weights), masked


def finite(value: float, epoch: int, rate: float, group: str = "optimisation") -> float:
    """A loss that is a number; the learning rate is that of a `group` of the recipe.

    Raises:
        UsageError: it is not.
    """
    if not math.isfinite(value):
        raise UsageError(
            f"epoch {epoch}: the loss is {value}: the training diverged; give a lower "
            f"--set {group}.learning_rate (it is {rate:g})"
        )
    return value
