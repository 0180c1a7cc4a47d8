"""How good predictions are: UAR, WA and macro F1."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, recall_score


def scores(truth: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Unweighted average recall, weighted accuracy and macro F1, from 0 to 1."""
    return {
        "UAR": float(recall_score(truth, predicted, average="macro")),
        "WA": float(accuracy_score(truth, predicted)),
        "macro F1": float(f1_score(truth, predicted, average="macro")),
    }


def mean_scores(each: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean over folds of each figure."""
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


def as_line(name: str, figures: dict[str, float]) -> str:
    """Figures in percent, on a line."""
    return f"{name:<8} " + "  ".join(
        f"{key} {100 * value:5.1f} %" for key, value in figures.items()
    )
