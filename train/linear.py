"""A linear head on embeddings: standardisation and logistic regression."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from models.whisper import WhisperClassifier
from train.embed import Embeddings
from train.recipes import Recipe

CALIBRATION_FOLDS = 4
Logits = NDArray[np.float64]


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


def fit_head(embeddings: Embeddings, truth: NDArray[np.int64], recipe: Recipe) -> Head:
    """Fit on embeddings (speeds, n, width) of recordings with labels (n,)."""
    flat = embeddings.reshape(-1, embeddings.shape[-1])
    shift = flat.mean(0)
    scale = 1.0 / (flat.std(0) + np.float32(1e-6))
    regression = LogisticRegression(C=recipe.regularisation, max_iter=recipe.max_iterations)
    regression.fit((flat - shift) * scale, np.tile(truth, len(embeddings)))
    weight, bias = regression.coef_, regression.intercept_
    if len(weight) == 1:  # two labels: scikit-learn keeps the second one's only
        weight, bias = np.vstack([-weight / 2, weight / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    return Head(shift, scale, weight, bias)


def held_out_logits(
    embeddings: Embeddings, truth: NDArray[np.int64], groups: Sequence[str], recipe: Recipe
) -> Logits:
    """Logits (n, labels) of each recording by a head that has not heard its group (speaker)."""
    held_out = np.zeros((len(truth), int(truth.max()) + 1))
    folds = GroupKFold(min(CALIBRATION_FOLDS, len(set(groups))))
    for train, test in folds.split(truth, groups=np.asarray(groups)):
        head = fit_head(embeddings[:, train], truth[train], recipe)
        held_out[test] = head.logits(embeddings[0, test])
    return held_out


def set_head(network: WhisperClassifier, head: Head) -> None:
    """Put a fitted head into its network."""
    with torch.no_grad():
        network.shift.copy_(torch.from_numpy(head.shift))
        network.scale.copy_(torch.from_numpy(head.scale))
        network.head.weight.copy_(torch.from_numpy(head.weight))
        network.head.bias.copy_(torch.from_numpy(head.bias))
