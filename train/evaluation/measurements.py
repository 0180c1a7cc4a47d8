"""The figures of predictions, and the files of an evaluation."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from train import metrics
from train.evaluation import plots
from train.evaluation.predictions import Predictions
from train.evaluation.report import as_text


def measure(predictions: Predictions, judged: Predictions) -> dict[str, Any]:
    """Everything that `metrics.json` holds; `judged` are the predictions that count."""
    truth, predicted = judged.truth, judged.predicted()
    speakers = [each.speaker for each in judged.utterances]
    known = all(speakers)
    by_speaker = metrics.by_group(truth, predicted, speakers, "UAR")
    sexes = [each.sex for each in judged.utterances]
    return {
        "recordings": len(truth),
        "speakers": len(set(speakers)) if known else None,
        "labels": list(judged.labels),
        "left_out": _left_out(predictions, judged),
        "headline": _headline(judged),
        "interval": _interval("speaker" if known else "recording", len(set(_units(judged)))),
        "by_corpus": _by_corpus(judged),
        "by_label": metrics.by_label(truth, predicted, judged.labels),
        "macro_f1_by_sex": metrics.by_group(truth, predicted, sexes, "macro F1"),
        "uar_by_speaker": by_speaker,
        "uar_over_speakers": metrics.spread(list(by_speaker.values())) if by_speaker else None,
        "by_fold": _by_fold(judged),
    }


def _headline(judged: Predictions) -> dict[str, dict[str, Any]]:
    numbers = np.array([judged.labels.index(label) for label in judged.truth])
    return metrics.headline(numbers, judged.probabilities.astype(np.float64), _units(judged))


def _units(judged: Predictions) -> list[str]:
    """The units of the bootstrap: speakers, or recordings where some speaker is not known."""
    speakers = [each.speaker for each in judged.utterances]
    return speakers if all(speakers) else [each.name for each in judged.utterances]


def _by_corpus(judged: Predictions) -> dict[str, Any]:
    """The headline of each corpus among its own labels, where there are several."""
    found = judged.by_corpus()
    return {name: _headline(one) for name, one in found.items()} if len(found) > 1 else {}


def _interval(unit: str, count: int) -> str:
    """The method of the intervals, or why there are none."""
    if count < 2:
        return f"no intervals: the bootstrap draws {unit}s, and there is a single one"
    return f"bootstrap, 95 %, over {unit}s"


def _left_out(predictions: Predictions, judged: Predictions) -> dict[str, Any]:
    """Recordings and labels that only the data or only the checkpoint has."""
    data = sorted({u.label for u in predictions.utterances} - set(judged.labels))
    return {
        "recordings": len(predictions.utterances) - len(judged.utterances),
        "labels_of_the_data": data,
        "labels_of_the_checkpoint": [x for x in predictions.labels if x not in judged.labels],
    }


def _by_fold(judged: Predictions) -> dict[str, dict[str, float]]:
    truth, predicted = np.array(judged.truth), np.array(judged.predicted())
    folds = np.array(judged.folds)
    return {
        str(fold): metrics.scores(list(truth[folds == fold]), list(predicted[folds == fold]))
        for fold in dict.fromkeys(judged.folds)
        if fold
    }


def write_evaluation(
    folder: Path,
    predictions: Predictions,
    about: dict[str, Any],
    by_adaptation: Mapping[str, Predictions] | None = None,
    *,
    every_label: bool = False,
) -> dict[str, Any]:
    """Write the files of `EVALUATION_FILES`, and return the metrics.

    A network is judged among the labels that the recordings have; with `every_label` among all of
    its own, since held-out recordings of its own corpora have them. `by_adaptation` are the
    predictions of an offset head by each adaptation, of which the headline is stated, too.
    """
    judged = predictions.known() if every_label else predictions.shared()
    found = about | measure(predictions, judged)
    found["by_adaptation"] = {
        name: (each.known() if every_label else each.shared()).scores()
        for name, each in (by_adaptation or {}).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "report.txt").write_text(as_text(found) + "\n")
    plots.confusion(folder / "confusion.png", judged.truth, judged.predicted(), judged.labels)
    correct = np.array(judged.truth) == np.array(judged.predicted())
    bins = metrics.calibration_bins(judged.probabilities.max(1).astype(np.float64), correct)
    plots.reliability(folder / "reliability.png", bins)
    pq.write_table(_table(predictions), folder / "predictions.parquet", compression="zstd")
    return found


def _table(predictions: Predictions) -> pa.Table:
    """A row per recording, with the whole probability vector."""

    def column(name: str) -> Iterable[object]:
        return [getattr(each, name) for each in predictions.utterances]

    found = {"file": column("name"), "label": column("label"), "predicted": predictions.predicted()}
    found["confidence"] = predictions.probabilities.max(1)
    for name in ("speaker", "sex", "language", "corpus", "start_s", "end_s"):
        found[name] = column(name)
    found["fold"] = predictions.folds
    for i, label in enumerate(predictions.labels):
        found[f"p_{label}"] = predictions.probabilities[:, i]
    return pa.table(found)
