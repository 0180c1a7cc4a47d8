"""An evaluation: a checkpoint's figures on labelled recordings, pictures, and every prediction."""

import errno
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from batch_ser.errors import UsageError
from batch_ser.results import ARCHIVE, NONE
from models.checkpoint import CheckpointInfo
from models.device import usable_device
from models.expectation import BALANCED
from models.loading import load_checkpoint, resolve
from models.scoring import Checkpoint
from train.data import Data, Utterance, check_labels, corpus_names, is_called, read, shared_name
from train.evaluation import (
    NOT_INDEPENDENT,
    Adaptation,
    Predictions,
    as_text,
    predict,
    predict_each,
    write_evaluation,
)
from train.run_folder import CHECKPOINT, CONFIG, EVALUATION_FILES, SPLIT, fold_number
from train.splits import make_split

EXPECTED_OUT = "expected a new folder, or one that an earlier evaluation wrote; give another --out"


@dataclass(frozen=True)
class EvaluateConfig:
    """One evaluation, by the options of the command line."""

    data: tuple[str, ...]
    model: str
    out: str
    labels: str | None = None
    split: str = ""  # its test side; all recordings without one
    fold: str = ""  # of a split with several
    seed: int = 0
    device: str = "auto"
    allow_duplicates: bool = False
    adapt: str = NONE  # or archive, corpus, speaker
    expect: str | None = None  # None: balanced, as labelled corpora are

    def adaptation(self, checkpoint: Checkpoint) -> Adaptation | None:
        """How recordings are adapted to; None for a head without an offset.

        Raises:
            CheckpointError: `--adapt` or `--expect` with such a head.
            UsageError: no such --adapt, or a label that the checkpoint does not have.
        """
        Adaptation(self.adapt)
        if not checkpoint.has_offset and self.adapt == NONE and self.expect is None:
            return None
        checkpoint.check_offset(instead="--adapt none without --expect")
        expect = BALANCED if self.expect is None else self.expect
        return Adaptation(self.adapt, checkpoint.expectation(expect).text)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: expected 0 or more")
        if self.fold and not self.split:
            raise UsageError(
                f"--fold {self.fold}: found no --split; expected the split that has this fold, "
                "as in --split saved:RUN/split.json"
            )


def evaluate(config: EvaluateConfig) -> str:
    """Score recordings whole and write `metrics.json`, `report.txt`, plots and predictions.

    Raises:
        UsageError: the checkpoint, data, split or folder cannot be used as given.
    """
    _check_out(config.out)
    checkpoint = load_checkpoint(config.model, usable_device(config.device, config.model))
    adaptation = config.adaptation(checkpoint)
    data = read(config.data, config.labels, config.allow_duplicates)
    judged = data.chosen(_rows(config, data))
    check_labels(_shared_names(checkpoint.info.labels), (each.label for each in judged))
    _make(config.out)
    each = _predictions(checkpoint, judged, adaptation)
    found = each[adaptation.title if adaptation else ""]
    about = {
        "checkpoint": f"{checkpoint.info.name} ({checkpoint.digest[:12]})",
        "data": ", ".join(config.data),
        "adapted": f"{adaptation.by}, expecting {adaptation.expect}" if adaptation else "none",
        "split": f"{config.split} {config.fold}".strip() or "all recordings",
        "note": _note(Path(resolve(config.model)), checkpoint.info, judged),
    }
    written = write_evaluation(Path(config.out), found, about, each if adaptation else {})
    return f"{as_text(written)}\nwritten: {config.out}"


def _predictions(
    checkpoint: Checkpoint, judged: Sequence[Utterance], adaptation: Adaptation | None
) -> dict[str, Predictions]:
    """By the title of the adaptation: without and with one, whichever of them was chosen."""
    if not adaptation:
        found = {"": predict(checkpoint, judged)}
    else:
        adapted = adaptation if adaptation.by != NONE else replace(adaptation, by=ARCHIVE)
        ways = [replace(adaptation, by=NONE), adapted]
        each = predict_each(checkpoint, judged, ways)
        found = {way.title: one for way, one in zip(ways, each, strict=True)}
    names = _shared_names(checkpoint.info.labels)
    return {title: replace(one, labels=names) for title, one in found.items()}


def _check_out(out: str) -> None:
    """Refuse a folder with anything but an earlier evaluation.

    A training's figures lie in files of the same names.
    """
    if os.path.exists(out) and not os.path.isdir(out):
        raise UsageError(f"--out {out}: found a file, {EXPECTED_OUT}")
    try:
        found = sorted(os.listdir(out)) if os.path.isdir(out) else []
    except OSError as error:
        raise _unusable(out, error) from error
    run = next((name for name in (CONFIG, CHECKPOINT) if name in found), None)
    if run:
        raise UsageError(
            f"--out {out}: found the folder of a training ({run}), whose held-out figures would be "
            f"overwritten, {EXPECTED_OUT}"
        )
    others = [name for name in found if name not in EVALUATION_FILES and not name.startswith(".")]
    if others:
        raise UsageError(f"--out {out}: found {others[0]}, no evaluation's file, {EXPECTED_OUT}")


def _make(out: str) -> None:
    """Make the folder before the work, which would be lost without it."""
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
        if not os.access(out, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise _unusable(out, error) from error


def _unusable(out: str, error: OSError) -> UsageError:
    return UsageError(f"--out {out}: it cannot be written ({error.strerror}), {EXPECTED_OUT}")


def _rows(config: EvaluateConfig, data: Data) -> list[int]:
    """The recordings that are judged."""
    if not config.split:
        return [row for row, each in enumerate(data.utterances) if not each.is_ordinary]
    split = make_split(config.split, data.utterances, data.contents, config.seed, valid_share=0.0)
    names = [fold.name for fold in split.folds]
    if not names:
        raise UsageError(
            f"--split {config.split}: it has no test side; leave --split out to judge all "
            "recordings"
        )
    if config.fold and config.fold not in names:
        raise UsageError(f"--fold {config.fold}: expected one of {', '.join(names)}")
    if len(names) != 1 and not config.fold:
        raise UsageError(
            f"--split {config.split} has {len(names)} folds: give --fold, one of {', '.join(names)}"
        )
    fold = split.folds[names.index(config.fold or names[0])]
    return list(map(int, np.flatnonzero(fold.test)))


def _note(path: Path, info: CheckpointInfo, judged: Sequence[Utterance]) -> str:
    """A note where recordings or speakers were in the checkpoint's training, as far as is known."""
    names = {each.name for each in judged}
    own = next((fold for fold in _folds_held_out(path) if names <= set(fold["test"])), None)
    if own:
        return "" if own["independent"] else NOT_INDEPENDENT
    trained = [str(each.get("name", "")) for each in info.corpora]
    both = [name for name in corpus_names(judged) if any(is_called(e, name) for e in trained)]
    if not both:
        return ""
    return (
        f"the checkpoint was trained on recordings of {', '.join(both)}: those among these are "
        "not held out"
    )


def _folds_held_out(path: Path) -> list[dict[str, Any]]:
    """Folds of a checkpoint's own training whose test side it was not trained on.

    A training of several folds ends with a checkpoint trained on all of them; those of the folds
    lie in folders with their number.
    """
    beside = path.with_suffix(".run")  # of a training whose --out was the checkpoint
    alone = _saved_folds(beside if beside.is_dir() else path.parent)
    if len(alone) == 1:
        return alone
    number = fold_number(path.parent)
    return _saved_folds(path.parent.parent)[number - 1 : number] if number else []


def _saved_folds(folder: Path) -> list[dict[str, Any]]:
    """The folds that a training wrote; none where there was no training."""
    try:
        folds: list[dict[str, Any]] = json.loads((folder / SPLIT).read_text())["folds"]
        return [each for each in folds if {"name", "test", "independent"} <= each.keys()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []  # another program's file


def _shared_names(labels: Sequence[str]) -> tuple[str, ...]:
    """Another program's labels (`ang`, `happiness`) under the shared names, where there are any.

    Where two share a name, all are left as they are.
    """
    names = [shared_name(label) or label for label in labels]
    return tuple(labels if len(set(names)) < len(names) else names)
