"""The held-out figures of a training, by fold and corpus, and how far they generalise."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from batch_ser.results import ARCHIVE, NONE
from models.scoring import Checkpoint
from train import metrics
from train.data import Data, Utterance, corpus_names, is_called
from train.evaluation.adaptation import CORPUS, Adaptation
from train.evaluation.measurements import write_evaluation
from train.evaluation.predictions import Predictions
from train.evaluation.scoring import predict, predict_each
from train.run_folder import fold_folders
from train.splits import Split

LEAKS = "with --allow-leak the test side may have been trained on"
TRAINED_ON = "the {} was trained in another training on {}, perhaps on the test side"
BY_ARCHIVE = ", by archive"
COMPARISON = "comparison"  # a key of figures.json and metrics.json
NONE_AND_ARCHIVE = (
    "by archive: with the offset of the test recordings of a corpus (--adapt archive); without "
    "that: with the usual offset (--adapt none), that of ordinary speech where the training had "
    "some; both with --expect balanced"
)
MOVED_AND_ARCHIVE = (
    "by archive: with the offset of all recordings of the labelled archive (--adapt archive); "
    "without that: with the usual offset (--adapt none), which labels moved to that of this "
    "archive; probabilities expect balanced labels in both"
)
NOT_INDEPENDENT = "the test speakers were also in training: the figures are speaker-dependent"


@dataclass(frozen=True)
class FoldPredictions:
    """Those of the test side of a fold, or of several."""

    plain: Predictions  # of a head with an offset: at the usual one
    by_archive: Predictions | None = None  # of such a head: at that of each corpus

    def __add__(self, other: "FoldPredictions") -> "FoldPredictions":
        adapted = None
        if self.by_archive and other.by_archive:
            adapted = self.by_archive + other.by_archive
        return FoldPredictions(self.plain + other.plain, adapted)

    @property
    def counted(self) -> Predictions:
        """Those by archive, as `run` scores by default, where there are any."""
        return self.by_archive or self.plain

    def write(self, folder: Path, about: dict[str, Any]) -> None:
        """Write the files of an evaluation."""
        both = {}
        if self.by_archive:
            both = {Adaptation(NONE).title: self.plain, Adaptation(ARCHIVE).title: self.by_archive}
        write_evaluation(folder, self.plain, about, both, every_label=True)


def predict_fold(
    checkpoint: Checkpoint, utterances: Sequence[Utterance], fold: str
) -> FoldPredictions:
    """Score the test side of a fold; each corpus in it is an archive."""
    if not checkpoint.has_offset:
        return FoldPredictions(predict(checkpoint, utterances, fold))
    ways = [Adaptation(NONE), Adaptation(CORPUS)]
    return FoldPredictions(*predict_each(checkpoint, utterances, ways, fold))


def write_figures(
    folder: Path,
    split: Split,
    found: Sequence[FoldPredictions],
    data: str,
    note: str,
    comparison: Mapping[str, Any] | None = None,
    offsets: str = NONE_AND_ARCHIVE,
) -> list[str]:
    """Write the held-out figures, of all folds together where they have the same labels.

    `comparison` is the record of another checkpoint on the same test sides, `offsets` explains the
    two kinds of figures of an offset head.
    """
    about: dict[str, Any] = {
        "data": data,
        "split": f"{split.name}, seed {split.seed}",
        "note": note,
    }
    compared = {COMPARISON: comparison} if comparison else {}
    about |= compared
    figures = _by_fold_and_corpus([each.plain for each in found])
    adapted = [each.by_archive for each in found if each.by_archive]
    figures |= {f"{name}{BY_ARCHIVE}": own for name, own in _by_fold_and_corpus(adapted).items()}
    if len({each.plain.labels for each in found}) == 1:
        together = found[0]
        for one in found[1:]:
            together += one
        together.write(folder, about)
    else:
        for own, one in zip(fold_folders(folder, split.names), found, strict=True):
            one.write(own, about)
    (folder / "figures.json").write_text(json.dumps(figures | compared, indent=1) + "\n")
    notes = [offsets] * bool(adapted) + [note] * bool(note)
    notes += comparison["text"] if comparison else []
    return [metrics.as_line(name, values) for name, values in figures.items()] + notes


def note_of(
    split: Split,
    data: Data,
    earlier_corpora: Sequence[Mapping[str, Any]] = (),
    leaks: bool = False,
    of: str = "encoder",
) -> str:
    """A note where figures are too good for unseen speakers: test speakers or recordings were used.

    `earlier_corpora` is what a pretrained encoder, or what `of` names, rests on.
    """
    if leaks and split.folds:
        return LEAKS
    notes = [_speakers_note(split, data), _earlier_note(split, data, earlier_corpora, of)]
    return "; ".join(filter(None, notes))


def _earlier_note(split: Split, data: Data, earlier: Sequence[Mapping[str, Any]], of: str) -> str:
    """Corpora with test recordings that an earlier training may have seen."""
    tested = [row for row in range(len(data.utterances)) if any(f.test[row] for f in split.folds)]
    names = corpus_names(data.chosen(tested))
    shared = [name for name in names if any(is_called(each["name"], name) for each in earlier)]
    return TRAINED_ON.format(of, ", ".join(shared)) if shared else ""


def _speakers_note(split: Split, data: Data) -> str:
    """Corpora whose folds are speaker-dependent."""
    speakers = np.array([each.speaker for each in data.utterances])
    corpora = np.array([each.corpus for each in data.utterances])
    dependent: set[str] = set()
    for fold in split.folds:
        seen = np.isin(speakers, speakers[fold.train | fold.valid]) | (speakers == "")
        dependent |= set() if fold.independent else set(corpora[fold.test & seen])
    judged = {str(corpus) for fold in split.folds for corpus in corpora[fold.test]}
    if not dependent or dependent == judged:
        return NOT_INDEPENDENT if dependent else ""
    return f"of {', '.join(sorted(dependent))}, {NOT_INDEPENDENT}"


def _by_fold_and_corpus(found: list[Predictions]) -> dict[str, dict[str, float]]:
    """Figures of each fold and their mean; with several corpora, of each among its own labels."""
    figures: dict[str, dict[str, float]] = {}
    several = any(len({each.corpus for each in one.utterances}) > 1 for one in found)
    split = [one.known().by_corpus() if several else {"": one.known()} for one in found]
    for corpus in dict.fromkeys(name for each in split for name in each):
        own = {
            f"{one.folds[0]} {corpus}".strip(): each[corpus].scores()
            for one, each in zip(found, split, strict=True)
            if corpus in each
        }
        figures |= own
        if len(own) > 1:
            figures[f"mean {corpus}".strip()] = metrics.mean_scores(list(own.values()))
    return figures
