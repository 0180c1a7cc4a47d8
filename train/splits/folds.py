"""Folds: one maker for each kind of split, from the recordings to their sides."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from batch_ser.errors import UsageError
from train.data import Utterance, in_order
from train.splits.divide import Mask, by_speakers, carve_valid, k_folds, shares_of, stratified
from train.splits.emobox import emobox_folds


@dataclass(frozen=True)
class Fold:
    """One division; the masks (recordings,) may leave out recordings (labels not shared)."""

    name: str
    train: Mask
    valid: Mask
    test: Mask
    independent: bool  # no speaker of the test side was heard in training

    def labels(self, utterances: Sequence[Utterance]) -> tuple[str, ...]:
        """The labels of its training side, in the shared order."""
        return in_order(
            each.label
            for each, heard in zip(utterances, self.train, strict=True)
            if heard and not each.is_ordinary
        )


@dataclass(frozen=True)
class Division:
    """What the makers of folds look at."""

    utterances: Sequence[Utterance]
    groups: Sequence[str]  # recordings of one group stay together
    seed: int
    valid_share: float
    text: str
    ordinary: Sequence[Utterance] = ()  # on the train side of every fold; no maker divides them

    @property
    def labels(self) -> list[str]:
        return [each.label for each in self.utterances]

    @property
    def speakers(self) -> list[str]:
        """Speakers by name.

        Raises:
            UsageError: of some recordings the speaker is not known.
        """
        unknown = [each.name for each in self.utterances if not each.speaker]
        if unknown:
            raise UsageError(
                f"--split {self.text}: the speaker of {len(unknown)} recordings is not known "
                f"(such as {unknown[0]}); give a manifest with a column speaker, or --split random"
            )
        return [each.speaker for each in self.utterances]

    def sided(
        self,
        name: str,
        test: Mask,
        independent: bool,
        pool: Mask | None = None,
        new_voices: bool = False,
    ) -> Fold:
        """A fold from its test side: a part of the rest becomes the valid side.

        That is of speakers of its own where the test side is, or some of it (`new_voices`): it
        steers and calibrates for them.
        """
        rest = ~test if pool is None else pool & ~test
        names = {each.speaker for each in self.utterances}
        whole = (independent or new_voices) and "" not in names  # corpora can be apart without
        groups = self.speakers if whole else self.groups
        valid = carve_valid(rest, self.labels, groups, whole, self.valid_share, self.seed)
        return Fold(name, rest & ~valid, valid, test, independent)


def _random(data: Division, rest: str) -> Iterator[Fold]:
    shares = shares_of(rest or "80/10/10", data.text)
    sides = stratified(data.labels, data.groups, shares, data.seed)
    yield Fold("random", sides[0], sides[1], sides[2], False)


def _speakers(data: Division, rest: str) -> Iterator[Fold]:
    if rest.isdigit():
        for number, test in enumerate(k_folds(data.speakers, int(rest), data.seed, data.text), 1):
            yield data.sided(f"fold {number}", test, True)
        return
    shares = shares_of(rest or "80/10/10", data.text)
    sides = by_speakers(data.speakers, shares, data.seed, data.text)
    yield Fold("speakers", sides[0], sides[1], sides[2], True)


def _kfold(data: Division, rest: str) -> Iterator[Fold]:
    folds = k_folds(
        data.groups, int(rest) if rest.isdigit() else 0, data.seed, data.text, data.labels
    )
    for number, test in enumerate(folds, 1):
        yield data.sided(f"fold {number}", test, False)


def _loso(data: Division, rest: str) -> Iterator[Fold]:
    if rest:
        raise UsageError(f"--split {data.text}: expected loso alone")
    speakers = np.array(data.speakers)
    for speaker in sorted(set(speakers)):
        yield data.sided(str(speaker), speakers == speaker, True)


def _cross(data: Division, rest: str) -> Iterator[Fold]:
    """Each corpus is held out in turn (or the one that is named); shared labels only."""
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
        asked = np.isin(labels, sorted(shared))
        yield data.sided(corpus, asked & (corpora == corpus), True, asked & (corpora != corpus))


def _emobox(data: Division, rest: str) -> Iterator[Fold]:
    for name, test, pool, apart in emobox_folds(data.utterances, rest, data.text):
        yield data.sided(name, test, all(apart), pool, any(apart))


def _given(data: Division, rest: str) -> Iterator[Fold]:
    if rest:
        raise UsageError(f"--split {data.text}: expected given alone")
    sides = np.array([each.side for each in data.utterances])
    if not (sides == "test").any() or not (sides == "train").any():
        raise UsageError(
            "--split given: expected a manifest with a column split: train, valid, test"
        )
    train, valid, test = (sides == side for side in ("train", "valid", "test"))
    fold = Fold("given", train, valid, test, False)
    if not valid.any():
        fold = data.sided("given", test, False, train)
    speakers = np.array([each.speaker for each in data.utterances])
    heard, new = set(speakers[train | valid]), set(speakers[test])
    yield replace(fold, independent="" not in heard | new and not heard & new)


def _saved(data: Division, rest: str) -> Iterator[Fold]:
    """A split that an earlier training wrote beside its checkpoint."""
    try:
        entries = json.loads(Path(rest).read_text())["folds"]
        every = [each.name for each in (*data.utterances, *data.ordinary)]
        at = {name: number for number, name in enumerate(every)}
        if len(at) < len(every):
            raise UsageError(
                f"--split {data.text}: {len(every) - len(at)} recordings have the name "
                "of another; give folders and manifests of different names"
            )
        for entry in entries:
            yield _saved_fold(entry, at, data)
    except UsageError:  # which is a ValueError too
        raise
    except OSError as error:
        raise UsageError(f"--split {data.text}: {rest} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--split {data.text}: {rest} is not a split.json of ours") from error


def _saved_fold(entry: dict[str, Any], at: dict[str, int], data: Division) -> Fold:
    sides = [_mask_of(entry[side], at, data.text) for side in ("train", "valid", "test")]
    count = len(data.utterances)
    if any(side[count:].any() for side in sides[1:]):
        raise UsageError(
            f"--split {data.text}: {entry['name']} has ordinary speech in valid or test; expected "
            "it in train alone"
        )
    train, valid, test = (side[:count] for side in sides)
    return Fold(entry["name"], train, valid, test, entry["independent"])


def _mask_of(names: Iterable[str], at: dict[str, int], text: str) -> Mask:
    mask = np.zeros(len(at), np.bool_)
    missing = [name for name in names if name not in at]
    if missing:
        raise UsageError(
            f"--split {text}: {len(missing)} recordings of it are not in the data, such as "
            f"{missing[0]}; give the same --data as when it was made"
        )
    mask[[at[name] for name in names]] = True
    return mask


def _none(data: Division, rest: str) -> Iterator[Fold]:
    if rest:
        raise UsageError(f"--split {data.text}: expected none alone")
    yield from ()


MAKERS: dict[str, Callable[[Division, str], Iterator[Fold]]] = {
    "random": _random,
    "speakers": _speakers,
    "kfold": _kfold,
    "loso": _loso,
    "cross": _cross,
    "emobox": _emobox,
    "given": _given,
    "saved": _saved,
    "none": _none,
}
