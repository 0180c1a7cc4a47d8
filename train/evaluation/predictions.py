"""Predictions on labelled recordings, restricted to labels and corpora."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from train import metrics
from train.data import Utterance, check_labels


@dataclass(frozen=True)
class Predictions:
    """A checkpoint's scores of recordings; `labels` are the columns of `probabilities`."""

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
        """The label of each recording."""
        return [each.label for each in self.utterances]

    def known(self) -> "Predictions":
        """Restricted to recordings whose label the checkpoint has; any label may be predicted."""
        return self._of(range(len(self.labels)))

    def among(self, labels: Sequence[str]) -> "Predictions":
        """Restricted to some of the labels, and recordings that carry one of them, renormalised."""
        return self._of([self.labels.index(label) for label in labels])

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
        found = self._rows(np.array(carried, np.int64))
        chosen = found.probabilities[:, columns].astype(np.float64) + 1e-12
        chosen /= chosen.sum(1, keepdims=True)
        return replace(found, labels=labels, probabilities=chosen.astype(np.float32))

    def by_corpus(self) -> dict[str, "Predictions"]:
        """Those of each corpus, among the labels that it has (all, where it has but one)."""
        corpora = np.array([each.corpus for each in self.utterances])
        found = {}
        for corpus in dict.fromkeys(corpora):
            own = self._rows(np.flatnonzero(corpora == corpus)).known()
            if own.utterances:
                found[str(corpus)] = own.shared() if len(set(own.truth)) > 1 else own
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
