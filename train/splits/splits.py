"""Which recordings train, which steer the training, which are held out.

A split is one or several folds; a fold has three sides. `test` is never heard before the figures
are taken, `valid` stops the training early and calibrates it, `train` is the rest. Copies of one
recording always stand on one side, and where independence of speakers is promised, a speaker on
two sides is an error. Ordinary speech serves only to train: the folds are made of the other
recordings, and it is on the train side of each.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from batch_ser.errors import UsageError
from train.data import Utterance
from train.splits.divide import Mask
from train.splits.folds import MAKERS, Division, Fold

FORMS = (
    "random:80/10/10, speakers:80/10/10, speakers:K, kfold:K, loso, cross, cross:KIND, "
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

    def heard_always(self) -> Mask | None:
        """(recordings,): what every fold trains on or is steered by, and none tests."""
        heard = [fold.train | fold.valid for fold in self.folds]
        return np.logical_and.reduce(heard) if heard else None

    def save(
        self, path: Path, utterances: Sequence[Utterance], contents: Sequence[str] = ()
    ) -> None:
        """Write it as JSON, by the recordings' names; with their contents, under any name."""
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
    """The split that `--split` names; `contents` are digests by which copies are known.

    Raises:
        UsageError: an unknown split, one that does not fit the data, a speaker on both sides where
            independence is promised, copies of a recording on both sides, or ordinary speech
            alone.
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
        _check_sides(fold, data)
    whole = tuple(_with_ordinary(fold, utterances) for fold in folds)
    for fold in whole:
        _check_apart(fold, utterances, text, () if allow_leak else contents)
    return Split(text, seed, whole)


def _division(
    utterances: Sequence[Utterance], groups: Sequence[str], seed: int, share: float, text: str
) -> Division:
    """What the makers of folds divide: all recordings but the ordinary ones."""
    divided = [row for row, each in enumerate(utterances) if not each.is_ordinary]
    ordinary = [each for each in utterances if each.is_ordinary]
    if ordinary and not divided:
        raise UsageError(
            f"--split {text}: all {len(ordinary)} recordings are ordinary speech, which serves "
            "only to train; give recordings with labels beside it (another --data)"
        )
    mine = [utterances[row] for row in divided]
    return Division(mine, [groups[row] for row in divided], seed, share, text, ordinary)


def _with_ordinary(fold: Fold, utterances: Sequence[Utterance]) -> Fold:
    """A fold of the other recordings as one of all, with the ordinary ones in train."""
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
    return _with_ordinary(data.sided("everything", nothing, independent), utterances)


def _check_sides(fold: Fold, data: Division) -> None:
    """Refuse sides that are empty, or whose labels do not fit those of train."""
    sides = {"train": fold.train, "valid": fold.valid, "test": fold.test}
    for side, mask in sides.items():
        if not mask.any():
            raise UsageError(f"--split {data.text}: {fold.name} has no recordings in {side}")
    labels = np.array(data.labels)
    heard = set(labels[fold.train])
    if len(heard) < 2:
        raise UsageError(
            f"--split {data.text}: all recordings that {fold.name} trains on are labelled "
            f"{heard.pop()}; expected two labels or more"
        )
    if not np.isin(labels[fold.valid], labels[fold.train]).any():
        raise UsageError(
            f"--split {data.text}: {fold.name} is steered by recordings labelled "
            f"{', '.join(sorted(set(labels[fold.valid])))}, which no recording in train is; "
            "give another --seed or split"
        )
    if not np.isin(labels[fold.test], labels[fold.train]).any():
        raise UsageError(
            f"--split {data.text}: {fold.name} is tested on {', '.join(set(labels[fold.test]))}, "
            "which no recording in train is labelled; take it out with --labels"
        )


def _check_apart(
    fold: Fold, utterances: Sequence[Utterance], text: str, contents: Sequence[str]
) -> None:
    """Refuse what is on both sides and would make the figures worthless; no contents, no copies."""
    ids = {"a copy of a recording": list(contents)} if contents else {}
    if fold.independent:
        ids["a speaker"] = [one.speaker or f"unknown {row}" for row, one in enumerate(utterances)]
    for what, each in ids.items():
        values = np.array(each)
        shared = set(values[fold.train | fold.valid]) & set(values[fold.test])
        if shared:
            rows = np.flatnonzero(np.isin(values, sorted(shared)))[:4]
            names = ", ".join(utterances[row].name for row in rows)
            raise UsageError(
                f"--split {text}: {fold.name} has {what} on both sides ({names}); its figures "
                "would be too good"
            )


def default_split(utterances: Sequence[Utterance]) -> str:
    """By speakers where there are enough of them, else at random; ordinary speech aside."""
    speakers = {each.speaker for each in utterances if not each.is_ordinary}
    return "speakers:80/10/10" if "" not in speakers and len(speakers) >= 6 else "random:80/10/10"
