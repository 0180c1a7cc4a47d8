"""The held-out figures of a training, by fold and corpus, and how far they generalise."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from train import metrics
from train.data import Data, corpus_names, is_called
from train.evaluation.measurements import write_evaluation
from train.evaluation.predictions import Predictions
from train.run_folder import fold_folders
from train.splits import Split

LEAKS = "with --allow-leak the test side may have been trained on"
DISTILLED_ON = (
    "the encoder was distilled in another training on {}, without labels, perhaps on the test side"
)
NOT_INDEPENDENT = "the test speakers were also in training: the figures are speaker-dependent"


def write_figures(
    folder: Path, split: Split, found: list[Predictions], data: str, note: str
) -> list[str]:
    """Write the held-out figures, of all folds together where they have the same labels."""
    about = {
        "data": data,
        "split": f"{split.name}, seed {split.seed}",
        "note": note,
    }
    figures = _by_fold_and_corpus(found)
    if len({one.labels for one in found}) == 1:
        together = found[0]
        for one in found[1:]:
            together += one
        write_evaluation(folder, together, about, every_label=True)
    else:
        for own, one in zip(fold_folders(folder, split.names), found, strict=True):
            write_evaluation(own, one, about, every_label=True)
    (folder / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")
    return [metrics.as_line(name, values) for name, values in figures.items()] + [note] * bool(note)


def note_of(
    split: Split, data: Data, encoder_corpora: Sequence[Mapping[str, Any]] = (), leaks: bool = False
) -> str:
    """A note where figures are too good for unseen speakers: test speakers or recordings were used.

    `encoder_corpora` are those that an encoder of another training was distilled on.
    """
    if leaks and split.folds:
        return LEAKS
    notes = [_speakers_note(split, data), _encoder_note(split, data, encoder_corpora)]
    return "; ".join(filter(None, notes))


def _encoder_note(split: Split, data: Data, earlier: Sequence[Mapping[str, Any]]) -> str:
    """Corpora with test recordings that an encoder may have been distilled on."""
    tested = [row for row in range(len(data.utterances)) if any(f.test[row] for f in split.folds)]
    names = corpus_names(data.chosen(tested))
    shared = [name for name in names if any(is_called(each["name"], name) for each in earlier)]
    return DISTILLED_ON.format(", ".join(shared)) if shared else ""


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
