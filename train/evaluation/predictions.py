"""Predictions on labelled recordings, and everything that is told of them."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from batch_ser.audio import Samples
from models.batching import Embeddings, Probabilities, consecutive
from models.scoring import Checkpoint
from train import metrics
from train.data import Utterance, check_labels
from train.evaluation import plots
from train.evaluation.adaptation import Adaptation
from train.evaluation.report import as_text
from train.features import load_utterance
from train.progress import every_s

AT_ONCE = 64  # recordings that are held in memory


@dataclass(frozen=True)
class Predictions:
    """What a checkpoint says of recordings; `labels` are the columns of `probabilities`."""

    utterances: tuple[Utterance, ...]
    labels: tuple[str, ...]
    probabilities: NDArray[np.float32]  # (recordings, labels)
    folds: tuple[str, ...]  # the fold of each recording, or ""

    def __add__(self, other: "Predictions") -> "Predictions":
        """Those of two folds with the same labels."""
        assert self.labels == other.labels
        return Predictions(
            self.utterances + other.utterances,
            self.labels,
            np.concatenate([self.probabilities, other.probabilities]),
            self.folds + other.folds,
        )

    @property
    def truth(self) -> list[str]:
        return [each.label for each in self.utterances]

    def known(self) -> "Predictions":
        """Restricted to recordings whose label the checkpoint knows; every label may be claimed."""
        return self._of(range(len(self.labels)))

    def shared(self) -> "Predictions":
        """Restricted to recordings and labels that occur on both sides, renormalised.

        Raises:
            UsageError: fewer than two labels are shared.
        """
        present = check_labels(self.labels, self.truth)
        return self._of([i for i, label in enumerate(self.labels) if label in present])

    def _of(self, columns: Sequence[int]) -> "Predictions":
        """Some of the labels, and the recordings that carry one of them."""
        labels = tuple(self.labels[i] for i in columns)
        carried = [i for i, each in enumerate(self.utterances) if each.label in labels]
        mine = self._rows(np.array(carried, np.int64))
        chosen = mine.probabilities[:, columns].astype(np.float64) + 1e-12
        chosen /= chosen.sum(1, keepdims=True)
        return replace(mine, labels=labels, probabilities=chosen.astype(np.float32))

    def by_corpus(self) -> dict[str, "Predictions"]:
        """Those of each corpus, among the labels that it has (all, where it has but one)."""
        corpora = np.array([each.corpus for each in self.utterances])
        found = {}
        for corpus in dict.fromkeys(corpora):
            mine = self._rows(np.flatnonzero(corpora == corpus)).known()
            if mine.utterances:
                found[str(corpus)] = mine.shared() if len(set(mine.truth)) > 1 else mine
        return found

    def _rows(self, rows: NDArray[np.int64]) -> "Predictions":
        return Predictions(
            tuple(self.utterances[i] for i in rows),
            self.labels,
            self.probabilities[rows],
            tuple(self.folds[i] for i in rows),
        )

    def predicted(self) -> list[str]:
        """The most probable label of each recording."""
        return [self.labels[i] for i in self.probabilities.argmax(1)]

    def scores(self) -> dict[str, float]:
        """UAR, accuracy and macro F1."""
        return metrics.scores(self.truth, self.predicted())


def predict(
    checkpoint: Checkpoint,
    utterances: Sequence[Utterance],
    fold: str = "",
    hear: Callable[[Utterance, int], Samples] = load_utterance,
    adapt: Adaptation | None = None,
) -> Predictions:
    """Score whole recordings (or given segments) as `run --segment whole` does.

    `hear` gives a recording's samples at a rate: other than as they are, to see what that costs.
    `adapt` is for heads with an offset; without it, the usual one and all labels alike.
    """
    if not checkpoint.has_offset:
        if adapt:
            checkpoint.check_offset()
        every = np.concatenate([scores for scores, _ in _scored(checkpoint, utterances, hear)])
    else:
        embeddings, durations_s = map(
            np.concatenate, zip(*_scored(checkpoint, utterances, hear), strict=True)
        )
        every = (adapt or Adaptation()).scores(checkpoint, utterances, embeddings, durations_s)
    folds = (fold,) * len(utterances)
    return Predictions(tuple(utterances), checkpoint.info.labels, every, folds)


def _scored(
    checkpoint: Checkpoint,
    utterances: Sequence[Utterance],
    hear: Callable[[Utterance, int], Samples],
) -> Iterator[tuple[Probabilities | Embeddings, NDArray[np.float64]]]:
    """Of some recordings at a time: embeddings, or probabilities where the head has no offset, and
    lengths in seconds.
    """
    rate_hz = checkpoint.info.rate_hz
    with tqdm(total=len(utterances), desc="scoring", mininterval=every_s()) as bar:
        for part in consecutive(len(utterances), AT_ONCE):
            some = utterances[part]
            samples = [hear(each, rate_hz) for each in some]
            durations_s = np.array([len(each) for each in samples], np.float64) / rate_hz
            if checkpoint.has_offset:
                yield checkpoint.embed_all(samples), durations_s
            else:
                yield checkpoint.score_all(samples), durations_s
            bar.update(len(some))


def measure(predictions: Predictions, mine: Predictions) -> dict[str, Any]:
    """Everything that `metrics.json` holds; `mine` are those of the predictions that count."""
    truth, predicted = mine.truth, mine.predicted()
    speakers = [each.speaker for each in mine.utterances]
    known = all(speakers)
    by_speaker = metrics.by_group(truth, predicted, speakers, "UAR")
    sexes = [each.sex for each in mine.utterances]
    return {
        "recordings": len(truth),
        "speakers": len(set(speakers)) if known else None,
        "labels": list(mine.labels),
        "left_out": _left_out(predictions, mine),
        "headline": _headline(mine),
        "interval": _interval("speaker" if known else "recording", len(set(_units(mine)))),
        "by_corpus": _by_corpus(mine),
        "by_label": metrics.by_label(truth, predicted, mine.labels),
        "macro_f1_by_sex": metrics.by_group(truth, predicted, sexes, "macro F1"),
        "uar_by_speaker": by_speaker,
        "uar_over_speakers": metrics.spread(list(by_speaker.values())) if by_speaker else None,
        "by_fold": _by_fold(mine),
    }


def _headline(mine: Predictions) -> dict[str, dict[str, Any]]:
    numbers = np.array([mine.labels.index(label) for label in mine.truth])
    return metrics.headline(numbers, mine.probabilities.astype(np.float64), _units(mine))


def _units(mine: Predictions) -> list[str]:
    """What the bootstrap draws: speakers, or recordings where they are not known."""
    speakers = [each.speaker for each in mine.utterances]
    return speakers if all(speakers) else [each.name for each in mine.utterances]


def _by_corpus(mine: Predictions) -> dict[str, Any]:
    """The headline of each corpus among its own labels, where there are several."""
    found = mine.by_corpus()
    return {name: _headline(one) for name, one in found.items()} if len(found) > 1 else {}


def _interval(unit: str, count: int) -> str:
    """How the intervals were taken, or why there are none."""
    if count < 2:
        return f"no intervals: the bootstrap draws {unit}s, and there is a single one"
    return f"bootstrap, 95 %, over {unit}s"


def _left_out(predictions: Predictions, mine: Predictions) -> dict[str, Any]:
    """What only one side knows."""
    data = sorted({u.label for u in predictions.utterances} - set(mine.labels))
    return {
        "recordings": len(predictions.utterances) - len(mine.utterances),
        "labels_of_the_data": data,
        "labels_of_the_checkpoint": [x for x in predictions.labels if x not in mine.labels],
    }


def _by_fold(mine: Predictions) -> dict[str, dict[str, float]]:
    truth, predicted = np.array(mine.truth), np.array(mine.predicted())
    folds = np.array(mine.folds)
    return {
        str(fold): metrics.scores(list(truth[folds == fold]), list(predicted[folds == fold]))
        for fold in dict.fromkeys(mine.folds)
        if fold
    }


def write_evaluation(
    folder: Path, predictions: Predictions, about: dict[str, Any], every_label: bool = False
) -> dict[str, Any]:
    """Write the files of `EVALUATION_FILES`; give the metrics.

    A network is judged among the labels that the recordings have, unless with `every_label`: on
    held-out recordings of its own corpus it must do without that help.
    """
    mine = predictions.known() if every_label else predictions.shared()
    found = about | measure(predictions, mine)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(found, indent=1) + "\n")
    (folder / "report.txt").write_text(as_text(found) + "\n")
    plots.confusion(folder / "confusion.png", mine.truth, mine.predicted(), mine.labels)
    right = np.array(mine.truth) == np.array(mine.predicted())
    bins = metrics.calibration_bins(mine.probabilities.max(1).astype(np.float64), right)
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
