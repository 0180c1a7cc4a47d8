"""What a training minimises: cross-entropy with labels or a teacher, and a distance to its mind."""

import torch
from torch import Tensor
from torch.nn import functional as F

from batch_ser.features import Features
from models.network import Network
from train.recipes import Recipe

IMPOSSIBLE = -1e4  # a logit without probability or gradient; minus infinity times 0 is no number


def blend(targets: Tensor, said: Tensor, recipe: Recipe) -> Tensor:
    """Targets (batch, labels), partly the teacher's probabilities; behind them its embeddings.

    `said` (batch, labels + width) is what a `Teacher` says.
    """
    labels = targets.shape[1]
    probabilities, embeddings = said[:, :labels], said[:, labels:]
    mixed = (1 - recipe.distil) * targets + recipe.distil * probabilities
    return torch.cat([mixed, embeddings], dim=1)


def loss_of(
    network: Network,
    recipe: Recipe,
    batch: tuple[Features, Tensor, Tensor],
    weights: Tensor | None,
    mixed: bool,
) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and its logits (batch, labels).

    `batch`: features, targets (batch, labels, and embeddings behind them where a teacher's are to
    be met), and which labels are possible (batch, labels).
    """
    features, targets, possible = batch
    with torch.autocast(features.values.device.type, torch.bfloat16, enabled=mixed):
        if recipe.mimic:
            embeddings = network.represent(features)
            logits = network.classify(embeddings)
        else:
            logits = network.upper(features)
    logits = logits.float().masked_fill(~possible, IMPOSSIBLE)
    labels = logits.shape[1]
    smooth = recipe.label_smoothing * possible / possible.sum(1, keepdim=True)
    wanted = (1 - recipe.label_smoothing) * targets[:, :labels] + smooth
    loss = F.cross_entropy(logits, wanted, weight=weights)
    if recipe.mimic:
        loss = loss + recipe.mimic * F.mse_loss(embeddings.float(), targets[:, labels:])
    return loss, logits
