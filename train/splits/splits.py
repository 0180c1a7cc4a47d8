"""Splits: which recordings train, which validate, which are held out.

A split is one or several folds; a fold has three sides. `test` is not used before the figures are
taken, `valid` stops the training early and calibrates it, `train` is the rest. Copies of one
recording are always on one side; a speaker on both sides of a speaker-independent fold is an error.
Ordinary speech serves only to train: the folds are made of the other recordings, and it is on the
train side of each.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from batch_ser.errors import UsageError
from train.data import Utterance
from train.splits.checks import check_apart, check_sides
from train.splits.divide import Mask
from train.splits.folds import MAKERS
from train.splits.sides import Division, Fold

FOLDS, FEWEST_SPEAKERS = 5, 6  # of the default split
FORMS = (
    "random:80/10/10, speakers:80/10/10, speakers:K, kfold:K, files:K, loso, cross, cross:KIND, "
    "emobox:FILE, emobox:FILE:FOLD, given, saved:FILE or none"
)


@dataclass(frozen=True)
class Split:
    """The folds of one training."""

    name: str
    seed: int
    folds: tuple[Fold, ...]

    @property
    def names(self) -> list[str]:
        """The folds' names."""
        return [fold.name for fold in self.folds]

    def never_tested(self) -> Mask | None:
        """(recordings,): what is in train or valid of every fold; None without folds."""
        used = [fold.train | fold.valid for fold in self.folds]
        return np.logical_and.reduce(used) if used else None

    def save(
        self, path: Path, utterances: Sequence[Utterance], contents: Sequence[str] = ()
    ) -> None:
        """Write `split.json`: the sides by the recordings' names, and the recordings' contents."""
        names = np.array([each.name for each in utterances])
        folds = [
            {
                "name": fold.name,
                "independent": fold.independent,
                **{
                    side: names[getattr(fold, side)].tolist() for side in ("train", "valid", "test")
                },
            }
            for fold in self.folds
        ]
        path.write_text(
            json.dumps(
                {
                    "split": self.name,
                    "seed": self.seed,
                    "folds": folds,
                    "contents": dict(zip(names.tolist(), contents, strict=False)),
                },
                indent=1,
            )
        )


def make_split(
    text: str,
    utterances: Sequence[Utterance],
    contents: Sequence[str],
    seed: int,
    valid_share: float,
    allow_leak: bool = False,
) -> Split:
    """The split that `--split` names; copies are recordings with the same of `contents`.

    Raises:
        UsageError: an unknown split, one that does not fit the data, a speaker on both sides of a
            speaker-independent fold, copies of a recording on both sides, or ordinary speech alone.
    """
    kind, _, rest = text.partition(":")
    if kind not in MAKERS:
        raise UsageError(f"--split {text}: expected {FORMS}")
    groups = list(map(str, range(len(contents))))
    if not allow_leak:
        groups = _together(utterances, contents)
    data = _division(utterances, groups, seed, valid_share, text)
    folds = tuple(MAKERS[kind](data, rest))
    for fold in folds:
        check_sides(fold, data)
    whole = tuple(_with_ordinary(fold, utterances) for fold in folds)
    for fold in whole:
        check_apart(fold, utterances, text, () if allow_leak else contents)
    return Split(text, seed, whole)


def _division(
    utterances: Sequence[Utterance], groups: Sequence[str], seed: int, share: float, text: str
) -> Division:
    """The recordings that folds are made of: all but the ordinary ones."""
    divided = [row for row, each in enumerate(utterances) if not each.is_ordinary]
    ordinary = [each for each in utterances if each.is_ordinary]
    if ordinary and not divided:
        raise UsageError(
            f"--split {text}: all {len(ordinary)} recordings are ordinary speech, which serves "
            "only to train; give recordings with labels beside it (another --data)"
        )
    labelled = [utterances[row] for row in divided]
    return Division(labelled, [groups[row] for row in divided], seed, share, text, ordinary)


def _with_ordinary(fold: Fold, utterances: Sequence[Utterance]) -> Fold:
    """A fold of the labelled recordings as one of all, with the ordinary ones in train."""
    ordinary = np.array([each.is_ordinary for each in utterances], np.bool_)
    train, valid, test = ordinary.copy(), np.zeros_like(ordinary), np.zeros_like(ordinary)
    train[~ordinary], valid[~ordinary], test[~ordinary] = fold.train, fold.valid, fold.test
    return replace(fold, train=train, valid=valid, test=test)


def _together(utterances: Sequence[Utterance], contents: Sequence[str]) -> list[str]:
    """A group for each recording: copies, and segments of one file, which may overlap."""
    files = np.unique([str(each.path) for each in utterances], return_inverse=True)[1]
    same = np.unique(np.array(contents), return_inverse=True)[1]
    count = len(utterances)
    links = coo_array((np.ones(count), (files, same + count)), shape=(2 * count, 2 * count))
    return [str(each) for each in connected_components(links, directed=False)[1][files]]


def everything(
    utterances: Sequence[Utterance], contents: Sequence[str], seed: int, share: float
) -> Fold:
    """The fold of a checkpoint that ships: all recordings but the valid side train.

    Raises:
        UsageError: ordinary speech alone.
    """
    data = _division(utterances, _together(utterances, contents), seed, share, "none")
    speakers = {each.speaker for each in data.utterances}
    independent = "" not in speakers and len(speakers) > 2
    nothing: Mask = np.zeros(len(data.utterances), np.bool_)
    return _with_ordinary(data.sided("everything", nothing, independent=independent), utterances)


def default_split(utterances: Sequence[Utterance], *, folds: bool = False) -> str:
    """By speakers where there are enough of them, else by files; ordinary speech aside.

    With `folds` every recording is tested once, in one of five; else a tenth of them.
    """
    labelled = [each for each in utterances if not each.is_ordinary]
    speakers = {each.speaker for each in labelled}
    if "" not in speakers and len(speakers) >= FEWEST_SPEAKERS:
        return f"speakers:{FOLDS}" if folds else "speakers:80/10/10"
    first = {
        str(each.path): each.label for each in reversed(labelled)
    }  # by which files are divided
    counts = Counter(first.values())
    enough = {each.label for each in labelled} == set(counts) and min(counts.values()) >= FOLDS
    return f"kfold:{FOLDS}" if folds and enough else "random:80/10/10"
