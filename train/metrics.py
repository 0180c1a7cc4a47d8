"""Metrics of predictions: UAR, accuracy, macro F1, calibration, and bootstrap intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support, recall_score

BINS = 15  # of the expected calibration error
DRAWS = 1_000  # of the bootstrap
Array = NDArray[np.float64]


def scores(truth: Sequence[str], predicted: Sequence[str]) -> dict[str, float]:
    """Unweighted average recall, weighted accuracy and macro F1, from 0 to 1.

    The means are over the labels that occur in `truth`.
    """
    present = sorted(set(truth))
    return {
        "UAR": float(recall_score(truth, predicted, labels=present, average="macro")),
        "WA": float(accuracy_score(truth, predicted)),
        "macro F1": float(f1_score(truth, predicted, labels=present, average="macro")),
    }


def mean_scores(each: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean over folds of each figure."""
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


def as_line(name: str, figures: dict[str, float]) -> str:
    """Figures in percent, on a line."""
    return f"{name:<8} " + "  ".join(
        f"{key} {100 * value:5.1f} %" for key, value in figures.items()
    )


def by_label(
    truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and support of each label."""
    found = precision_recall_fscore_support(truth, predicted, labels=labels, zero_division=0.0)
    names = ("precision", "recall", "f1", "support")
    return {
        label: dict(zip(names, map(float, figures), strict=True))
        for label, *figures in zip(labels, *found, strict=True)
    }


def by_group(
    truth: Sequence[str], predicted: Sequence[str], groups: Sequence[str], name: str
) -> dict[str, float]:
    """One figure of `scores` for each group of recordings whose group is known."""
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return {
        group: scores([truth[row] for row in members], [predicted[row] for row in members])[name]
        for group, members in sorted(rows.items())
        if group
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Lowest, highest, mean and standard deviation."""
    return {
        "lowest": float(np.min(values)),
        "highest": float(np.max(values)),
        "mean": float(np.mean(values)),
        "deviation": float(np.std(values)),
    }


def calibration_bins(
    confidence: Array, correct: NDArray[np.bool_], weights: Array | None = None
) -> Array:
    """Per bin of confidence (bins, 3): recordings, summed confidence, correct ones; or with
    weights (n,) what they count.
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    each = np.ones(len(bins)) if weights is None else weights
    columns = (each, each * confidence, each * correct)
    return np.stack([np.bincount(bins, column, BINS) for column in columns], axis=1)


def calibration_error(bins: Array) -> Array:
    """Expected calibration error of bins (..., bins, 3): distance of confidence from accuracy.

    Source: Guo et al. 2017; 15 bins of equal width.
    """
    return _ratio(np.abs(bins[..., 1] - bins[..., 2]).sum(-1), bins[..., 0].sum(-1))


def headline(
    truth: NDArray[np.int64],
    probabilities: Array,
    units: Sequence[str],
    seed: int = 0,
    weights: Array | None = None,
) -> dict[str, dict[str, Any]]:
    """UAR, accuracy, macro F1 and calibration error, each with its bootstrap 95 % interval.

    `truth` (n,) and `probabilities` (n, labels); `units` (n,) are drawn with replacement, all the
    recordings of one together: speakers. With a single one there is no interval. `weights` (n,):
    how much each recording counts; all the same if there are none.
    """
    each = np.ones(len(truth)) if weights is None else weights
    predicted, labels = probabilities.argmax(1), probabilities.shape[1]
    names, unit = np.unique(np.array(units), return_inverse=True)
    confusion = np.zeros((len(names), labels, labels))
    np.add.at(confusion, (unit, truth, predicted), each)
    confidence, correct = probabilities.max(1), predicted == truth
    owned = [unit == i for i in range(len(names))]
    bins = np.stack([calibration_bins(confidence[i], correct[i], each[i]) for i in owned])
    whole = _figures(confusion.sum(0)[None], bins.sum(0)[None])
    found = {name: {"value": float(values[0])} for name, values in whole.items()}
    if len(names) < 2:
        return {name: each | {"low": None, "high": None} for name, each in found.items()}
    draw = np.random.default_rng(seed)
    times = draw.multinomial(len(names), np.full(len(names), 1 / len(names)), DRAWS).astype(float)
    drawn = _figures(np.tensordot(times, confusion, 1), np.tensordot(times, bins, 1))
    for name, values in drawn.items():
        low, high = np.nanpercentile(values, [2.5, 97.5])
        found[name] |= {"low": float(low), "high": float(high)}
    return found


def _figures(confusion: Array, bins: Array) -> dict[str, Array]:
    """Figures of confusion matrices (draws, true, predicted), means over labels that occur."""
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    support, predictions = confusion.sum(2), confusion.sum(1)
    occurs = support > 0
    recall = np.where(occurs, _ratio(hits, support), 0.0)
    f1 = np.where(occurs, _ratio(2 * hits, support + predictions), 0.0)
    counted = np.maximum(occurs.sum(1), 1)
    return {
        "uar": recall.sum(1) / counted,
        "accuracy": _ratio(hits.sum(1), confusion.sum((1, 2))),
        "macro_f1": f1.sum(1) / counted,
        "calibration_error": calibration_error(bins),
    }


def _ratio(part: Array, whole: Array) -> Array:
    """Ratios, 0 where there is nothing."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole > 0)
