"""How good a checkpoint is on labelled recordings: figures, pictures and every prediction."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from batch_ser.errors import UsageError
from models.device import usable_device
from models.loading import load_checkpoint
from train.data import Data, read
from train.evaluation import Predictions, predict, write_evaluation
from train.labels import shared_name
from train.report import as_text
from train.run import NOT_INDEPENDENT
from train.splits import make_split


@dataclass(frozen=True)
class EvaluateConfig:
    """One evaluation, as the command line gives it."""

    data: tuple[str, ...]
    model: str
    out: str
    labels: str | None = None
    split: str = ""  # its test side; all recordings without one
    fold: str = ""  # of a split with several
    seed: int = 0
    device: str = "auto"
    allow_duplicates: bool = False


def evaluate(config: EvaluateConfig) -> str:
    """Score recordings whole and write `metrics.json`, `report.txt`, plots and predictions.

    Raises:
        UsageError: the checkpoint, data or split cannot be used as given.
    """
    checkpoint = load_checkpoint(config.model, usable_device(config.device))
    data = read(config.data, config.labels, config.allow_duplicates)
    rows, independent = _rows(config, data)
    found = _with_shared_names(predict(checkpoint, data.chosen(list(rows))))
    about = {
        "checkpoint": f"{checkpoint.info.name} ({checkpoint.digest[:12]})",
        "data": ", ".join(config.data),
        "split": f"{config.split} {config.fold}".strip() or "all recordings",
        "note": "" if independent else NOT_INDEPENDENT,
    }
    return as_text(write_evaluation(Path(config.out), found, about)) + f"\nwritten: {config.out}"


def _rows(config: EvaluateConfig, data: Data) -> tuple[list[int], bool]:
    """The recordings that are judged, and whether their speakers are promised to be new."""
    if not config.split:
        return list(range(len(data.utterances))), True
    split = make_split(config.split, data.utterances, data.contents, config.seed, valid_share=0.1)
    names = [fold.name for fold in split.folds]
    if config.fold and config.fold not in names:
        raise UsageError(f"--fold {config.fold}: expected one of {', '.join(names)}")
    if len(names) != 1 and not config.fold:
        raise UsageError(f"--split {config.split} has {len(names)} folds: give --fold, one of "
                         f"{', '.join(names)}")  # fmt: skip
    fold = split.folds[names.index(config.fold or names[0])]
    return list(map(int, np.flatnonzero(fold.test))), fold.independent


def _with_shared_names(found: Predictions) -> Predictions:
    """A foreign checkpoint's labels (`ang`, `happiness`) under the shared names, where they are.

    Two that share a name are left as they are.
    """
    names = [shared_name(label) or label for label in found.labels]
    if len(set(names)) < len(names):
        return found
    return Predictions(found.utterances, tuple(names), found.probabilities, found.folds)
