"""A linear head on embeddings: standardisation and logistic regression."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from torch import nn

from models.whisper import WhisperClassifier
from train.features import Embeddings
from train.fitting.weighting import Floats, moments
from train.recipes import LinearFit

CALIBRATION_FOLDS = 4
UNFITTED = -30.0  # the logit of a label without recordings; finite, for a temperature
Logits = NDArray[np.float64]
Numbers = NDArray[np.int64]
Fold = tuple[Numbers, Numbers]  # rows to fit on, rows held out


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
    embeddings: Embeddings,
    truth: Numbers,
    settings: LinearFit,
    labels: int | None = None,
    weights: Floats | None = None,
) -> Head:
    """Fit on embeddings (speeds, n, width) of recordings with labels (n,).

    The head has as many outputs as there are `labels`, by default up to the largest in `truth`;
    one that is not in `truth` is never predicted. `weights` (n,) count relative to their mean, so
    that regularisation does not depend on their size.
    """
    flat = embeddings.reshape(-1, embeddings.shape[-1])
    each = None if weights is None else np.tile(weights / weights.mean(), len(embeddings))
    mean, deviation = moments(flat, each)
    shift = mean.astype(np.float32)
    scale = np.float32(1.0) / (deviation.astype(np.float32) + np.float32(1e-6))
    found = regression(
        (flat - shift) * scale,
        np.tile(truth, len(embeddings)),
        settings.regularisation,
        settings.max_iterations,
        each,
    )
    outputs = labels or int(truth.max()) + 1
    weight = np.zeros((outputs, flat.shape[1]), found.weight.dtype)
    bias = np.full(outputs, UNFITTED, found.bias.dtype)
    weight[found.labels], bias[found.labels] = found.weight, found.bias
    return Head(shift, scale, weight, bias)


class Regression(NamedTuple):
    """A fitted logistic regression, for the labels that it was fitted on."""

    labels: Numbers  # (k,)
    weight: NDArray[np.float64]  # (k, width)
    bias: NDArray[np.float64]  # (k,)


def regression(
    rows: Embeddings,
    truth: Numbers,
    strength: float,
    iterations: int,
    weights: Floats | None = None,
) -> Regression:
    """A logistic regression on rows (n, width) with labels (n,), and perhaps weights (n,).

    `strength` is the inverse one of regularisation, scikit-learn's C.
    """
    labels = np.unique(truth)
    if len(labels) == 1:  # which scikit-learn refuses
        return Regression(labels, np.zeros((1, rows.shape[1])), np.zeros(1))
    fitted = LogisticRegression(C=strength, max_iter=iterations).fit(rows, truth, weights)
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:  # two labels: scikit-learn returns the second one's only
        weight, bias = np.vstack([-weight / 2, weight / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    return Regression(fitted.classes_, weight, bias)


def held_out_logits(
    embeddings: Embeddings,
    truth: Numbers,
    groups: Sequence[str],
    settings: LinearFit,
    weights: Floats | None = None,
) -> Logits:
    """Logits (n, labels) of each recording by a head that was not fitted on its group (speaker).

    They are zeros where no other group has a recording's label, which that head cannot predict:
    zeros are the same at every temperature, so that they do not change it.
    """
    labels = int(truth.max()) + 1
    held_out = np.zeros((len(truth), labels))
    for train, test in _folds(truth, np.asarray(groups)):
        own = None if weights is None else weights[train]
        head = fit_linear(embeddings[:, train], truth[train], settings, labels, own)
        known = test[np.isin(truth[test], truth[train])]
        held_out[known] = head.logits(embeddings[0, known])
    return held_out


def _folds(truth: Numbers, groups: NDArray[np.str_]) -> list[Fold]:
    """Folds of groups; of recordings where groups share no label.

    Where each label has one recording, nothing can be held out: both sides are everything.
    """
    order = np.argsort(truth, kind="stable")
    turns = np.empty(len(truth), np.int64)
    turns[order] = np.arange(len(truth)) % CALIBRATION_FOLDS  # each label's recordings in turn
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
    assert isinstance(network.head, nn.Linear)  # `train.recipes.check_together` refuses others
    with torch.no_grad():
        network.shift.copy_(torch.from_numpy(head.shift))
        network.scale.copy_(torch.from_numpy(head.scale))
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))
