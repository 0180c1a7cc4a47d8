"""The figures of `judge`: what `metrics.json` holds."""

from typing import Any

import numpy as np

from jobs.judge.judged import Judged
from jobs.judge.notes import notes
from jobs.judge.proportions import Array, share
from jobs.judge.thresholds import STEPS, point, wanted_point
from train import metrics


def measure(judged: Judged, precision: float) -> dict[str, Any]:
    """All figures; shares are from 0 to 1."""
    agreement = judged.agreement
    return {
        "segments": len(judged.weights),
        "recordings": judged.recordings,
        "annotators": judged.annotators,
        "weighted": judged.is_weighted,
        "labels": list(judged.labels),
        "labels_of_people": list(judged.others),
        "not_matched": dict(judged.problems),
        "agreement": {
            "segments": agreement.segments,
            "agreement": agreement.agreement,
            "kappa": agreement.kappa,
        },
        "notes": notes(judged),
        "interval": _interval(judged),
        "headline": headline(judged),
        "by_label": _by_label(judged),
        "confusion": _confusion(judged),
        "wanted_precision": precision,
        "thresholds": {
            label: _thresholds(judged, number, precision)
            for number, label in enumerate(judged.labels)
            if judged.truth[:, number].any()
        },
        "prevalence": _prevalence(judged),
    }


def headline(judged: Judged) -> dict[str, Any]:
    """UAR, accuracy, macro F1 and calibration error; of no segment with a label of the checkpoint
    there are none.
    """
    rows, truth = np.nonzero(judged.known)
    if not len(rows):
        return {}
    weights = (judged.weights[:, None] * judged.known)[rows, truth]
    units = [str(each) for each in judged.units[rows]]
    return metrics.headline(truth, judged.probabilities[rows], units, weights=weights)


def reliability_bins(judged: Judged) -> Array:
    """Bins of confidence of segments with a label of the checkpoint, weighted."""
    rows, truth = np.nonzero(judged.known)
    weights = (judged.weights[:, None] * judged.known)[rows, truth]
    confidence = judged.probabilities[rows].max(1)
    return metrics.calibration_bins(confidence, judged.predicted[rows] == truth, weights)


def confusion(judged: Judged, *, weighted: bool) -> Array:
    """(all labels, labels of the checkpoint) what counts of each label, by what is predicted."""
    found = np.zeros((len(judged.all_labels), len(judged.labels)))
    weights = judged.weights if weighted else np.ones(len(judged.weights))
    np.add.at(found.T, judged.predicted, judged.truth * weights[:, None])
    return found


def _interval(judged: Judged) -> str:
    if judged.recordings < 2:
        return "no intervals: they are over recordings, and there is a single one"
    return "95 %, over recordings; of UAR, accuracy, F1 and calibration error by a bootstrap"


def _by_label(judged: Judged) -> dict[str, Any]:
    """Precision, recall and how many segments, of the most probable label."""
    found = {}
    for number, label in enumerate(judged.labels):
        hits, chosen = judged.truth[:, number], judged.predicted == number
        carried = hits > 0
        units = judged.units
        precision = share(hits[chosen], judged.weights[chosen], units[chosen])
        weights = (judged.weights * hits)[carried]
        recall = share(chosen[carried].astype(float), weights, units[carried])
        found[label] = {
            "precision": precision and precision.as_json(),
            "recall": recall and recall.as_json(),
            "labelled": float(hits.sum()),
            "predicted": int(chosen.sum()),
        }
    return found


def _confusion(judged: Judged) -> dict[str, Any]:
    """Of each label of people those that are predicted: weights, and segments."""
    found = {}
    for name, weighted in (("weighted", True), ("segments", False)):
        matrix = confusion(judged, weighted=weighted)
        found[name] = {
            label: dict(zip(judged.labels, map(float, row), strict=True))
            for label, row in zip(judged.all_labels, matrix, strict=True)
        }
    return found


def _thresholds(judged: Judged, label: int, precision: float) -> dict[str, Any]:
    wanted = wanted_point(judged, label, precision)
    return {
        "wanted": wanted and wanted.as_json(),
        "curve": [point(judged, label, step).as_json() for step in STEPS],
    }


def _prevalence(judged: Judged) -> dict[str, Any]:
    """The share of each label in the archive by people, beside what the model states."""
    archive, found = judged.archive, {}
    of = max(archive.segments, 1)
    for number, label in enumerate(judged.all_labels):
        people = share(judged.truth[:, number], judged.weights, judged.units)
        assert people, "there are labelled segments"
        own = label in judged.labels
        found[label] = people.as_json() | {
            "mean_probability": archive.probabilities[label] / of if own else None,
            "predicted": archive.emotions[label] / of if own else None,
        }
    return found
