"""A linear head on embeddings: standardisation and logistic regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from torch import nn

from models.whisper import WhisperClassifier
from train.features import Embeddings
from train.recipes import Recipe

CALIBRATION_FOLDS = 4
UNHEARD = -30.0  # the logit of a label that a head was not fitted on: finite, for a temperature
Logits = NDArray[np.float64]
Fold = tuple[NDArray[np.int64], NDArray[np.int64]]  # rows to fit on, rows to judge on


@dataclass(frozen=True)
class Head:
    """`weight` (labels, width) and `bias` (labels,) on `(embedding - shift) * scale`."""

    shift: Embeddings
    scale: Embeddings
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, embeddings: Embeddings) -> Logits:
        """Embeddings (n, width) to logits (n, labels)."""
        return np.asarray(((embeddings - self.shift) * self.scale) @ self.weight.T + self.bias)


def fit_linear(
    embeddings: Embeddings, truth: NDArray[np.int64], recipe: Recipe, labels: int | None = None
) -> Head:
    """Fit on embeddings (speeds, n, width) of recordings with labels (n,).

    The head has as many outputs as there are `labels`, by default up to the largest in `truth`;
    one that is not in `truth` never wins.
    """
    flat = embeddings.reshape(-1, embeddings.shape[-1])
    shift = flat.mean(0)
    scale = 1.0 / (flat.std(0) + np.float32(1e-6))
    heard, weight, bias = regression(
        (flat - shift) * scale, np.tile(truth, len(embeddings)), recipe.regularisation,
        recipe.max_iterations,
    )  # fmt: skip
    outputs = labels or int(truth.max()) + 1
    every_weight = np.zeros((outputs, flat.shape[1]), weight.dtype)
    every_bias = np.full(outputs, UNHEARD, bias.dtype)
    every_weight[heard], every_bias[heard] = weight, bias
    return Head(shift, scale, every_weight, every_bias)


def regression(
    rows: Embeddings, truth: NDArray[np.int64], strength: float, iterations: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """The labels in `truth` (k,), and their weights (k, width) and biases (k,).

    `strength` is the inverse one of regularisation, scikit-learn's C.
    """
    heard = np.unique(truth)
    if len(heard) == 1:  # nothing to tell apart, which scikit-learn refuses
        return heard, np.zeros((1, rows.shape[1])), np.zeros(1)
    fitted = LogisticRegression(C=strength, max_iter=iterations).fit(rows, truth)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:  # two labels: scikit-learn keeps the second one's only
        weight, bias = np.vstack([-weight / 2, weight / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    return fitted.classes_, weight, bias


def held_out_logits(
    embeddings: Embeddings, truth: NDArray[np.int64], groups: Sequence[str], recipe: Recipe
) -> Logits:
    """Logits (n, labels) of each recording by a head that has not heard its group (speaker).

    A recording keeps zeros where no other group has its label: that head cannot know the label,
    and zeros are the same at every temperature, so that they do not move it.
    """
    labels = int(truth.max()) + 1
    held_out = np.zeros((len(truth), labels))
    for train, test in _folds(truth, np.asarray(groups)):
        head = fit_linear(embeddings[:, train], truth[train], recipe, labels)
        known = test[np.isin(truth[test], truth[train])]
        held_out[known] = head.logits(embeddings[0, known])
    return held_out


def _folds(truth: NDArray[np.int64], groups: NDArray[np.str_]) -> list[Fold]:
    """Sides to fit and to judge on: by group; by recording where groups share no label.

    With no label heard twice there is nothing to hold out: both sides are everything.
    """
    order = np.argsort(truth, kind="stable")
    turns = np.empty(len(truth), np.int64)
    turns[order] = np.arange(len(truth)) % CALIBRATION_FOLDS  # each label dealt out in turn
    for parts in (groups, turns):
        count = min(CALIBRATION_FOLDS, len(np.unique(parts)))
        if count > 1:
            folds = list(GroupKFold(count).split(truth, groups=parts))
            if any(np.isin(truth[test], truth[train]).any() for train, test in folds):
                return folds
    everything = np.arange(len(truth))
    return [(everything, everything)]


def set_linear_head(network: WhisperClassifier, head: Head) -> None:
    """Put a fitted head into its network."""
    assert isinstance(network.head, nn.Linear)  # `train.recipes.presets.contradictions` saw to it
    with torch.no_grad():
        network.shift.copy_(torch.from_numpy(head.shift))
        network.scale.copy_(torch.from_numpy(head.scale))
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))
