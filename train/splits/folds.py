"""Folds: one maker for each kind of split, from the recordings to their sides."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from batch_ser.errors import UsageError
from train.splits.divide import by_speakers, k_folds, shares_of, stratified
from train.splits.emobox import emobox_folds
from train.splits.saved import saved_folds
from train.splits.sides import Division, Fold


def _random(data: Division, rest: str) -> Iterator[Fold]:
    shares = shares_of(rest or "80/10/10", data.text)
    sides = stratified(data.labels, data.groups, shares, data.seed)
    yield Fold("random", sides[0], sides[1], sides[2], independent=False)


def _speakers(data: Division, rest: str) -> Iterator[Fold]:
    if rest.isdigit():
        for number, test in enumerate(k_folds(data.speakers, int(rest), data.seed, data.text), 1):
            yield data.sided(f"fold {number}", test, independent=True)
        return
    shares = shares_of(rest or "80/10/10", data.text)
    sides = by_speakers(data.speakers, shares, data.seed, data.text)
    yield Fold("speakers", sides[0], sides[1], sides[2], independent=True)


def _kfold(data: Division, rest: str) -> Iterator[Fold]:
    folds = k_folds(
        data.groups, int(rest) if rest.isdigit() else 0, data.seed, data.text, data.labels
    )
    for number, test in enumerate(folds, 1):
        yield data.sided(f"fold {number}", test, independent=False)


def _files(data: Division, rest: str) -> Iterator[Fold]:
    """As kfold, whatever the labels: of few recordings a label may be on one side only."""
    count = int(rest) if rest.isdigit() else 0
    for number, test in enumerate(k_folds(data.groups, count, data.seed, data.text), 1):
        yield data.sided(f"fold {number}", test, independent=False)


def _loso(data: Division, rest: str) -> Iterator[Fold]:
    if rest:
        raise UsageError(f"--split {data.text}: expected loso alone")
    speakers = np.array(data.speakers)
    for speaker in sorted(set(speakers)):
        yield data.sided(str(speaker), speakers == speaker, independent=True)


def _cross(data: Division, rest: str) -> Iterator[Fold]:
    """Each corpus is held out in turn (or the named one); shared labels only."""
    corpora = np.array([each.corpus for each in data.utterances])
    known = sorted(set(corpora))
    if len(known) < 2 or (rest and rest not in known):
        raise UsageError(
            f"--split {data.text}: found the corpora {', '.join(known)}; expected two or more "
            "(--data several times), and KIND one of them"
        )
    labels = np.array(data.labels)
    for corpus in [rest] if rest else known:
        shared = set(labels[corpora == corpus]) & set(labels[corpora != corpus])
        if len(shared) < 2:
            raise UsageError(
                f"--split {data.text}: {corpus} and the others share {len(shared)} labels"
            )
        usable = np.isin(labels, sorted(shared))
        test, pool = usable & (corpora == corpus), usable & (corpora != corpus)
        yield data.sided(corpus, test, independent=True, pool=pool)


def _emobox(data: Division, rest: str) -> Iterator[Fold]:
    for fold in emobox_folds(data.utterances, rest, data.text):
        yield data.sided(
            fold.name,
            fold.test,
            independent=all(fold.independent),
            pool=fold.pool,
            unseen_speakers=any(fold.independent),
        )


def _given(data: Division, rest: str) -> Iterator[Fold]:
    if rest:
        raise UsageError(f"--split {data.text}: expected given alone")
    sides = np.array([each.side for each in data.utterances])
    if not (sides == "test").any() or not (sides == "train").any():
        raise UsageError(
            "--split given: expected a manifest with a column split: train, valid, test"
        )
    train, valid, test = (sides == side for side in ("train", "valid", "test"))
    fold = Fold("given", train, valid, test, independent=False)
    if not valid.any():
        fold = data.sided("given", test, independent=False, pool=train)
    speakers = np.array([each.speaker for each in data.utterances])
    seen, tested = set(speakers[train | valid]), set(speakers[test])
    yield replace(fold, independent="" not in seen | tested and not seen & tested)


def _none(data: Division, rest: str) -> Iterator[Fold]:
    if rest:
        raise UsageError(f"--split {data.text}: expected none alone")
    yield from ()


MAKERS: dict[str, Callable[[Division, str], Iterator[Fold]]] = {
    "random": _random,
    "speakers": _speakers,
    "kfold": _kfold,
    "files": _files,
    "loso": _loso,
    "cross": _cross,
    "emobox": _emobox,
    "given": _given,
    "saved": saved_folds,
    "none": _none,
}
