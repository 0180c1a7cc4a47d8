"""Dividing recordings: at random but stratified, by speakers, in k folds. All of it is seeded."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold, train_test_split

from batch_ser.errors import UsageError

Mask = NDArray[np.bool_]


def shares_of(text: str, split: str) -> tuple[float, float, float]:
    """`80/10/10` as shares of train, valid and test.

    Raises:
        UsageError: not three positive numbers.
    """
    try:
        parts = [float(part) for part in text.split("/")]
    except ValueError:
        parts = []
    if len(parts) != 3 or min(parts) <= 0:
        raise UsageError(f"--split {split}: expected shares of train, valid and test: 80/10/10")
    train, valid, test = (part / sum(parts) for part in parts)
    return train, valid, test


def stratified(
    labels: Sequence[str], groups: Sequence[str], shares: Sequence[float], seed: int
) -> list[Mask]:
    """Sides with the same shares of every label; recordings of one group stay together."""
    firsts, members = _groups(groups)
    of = np.array(labels)[firsts]
    rest, test = _stratified_two(np.arange(len(firsts)), of, shares[2], seed)
    train, valid = _stratified_two(rest, of[rest], shares[1] / (shares[0] + shares[1]), seed)
    return [np.isin(members, side) for side in (train, valid, test)]


def _stratified_two(
    rows: NDArray[np.int64], labels: NDArray[np.str_], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows in two parts, the second with `share` of each label.

    Raises:
        UsageError: a label has too few recordings for both.
    """
    count = math.ceil(share * len(rows) - 1e-9)  # 0.125 of 160 is 20, in spite of rounding
    try:
        one, two = train_test_split(rows, test_size=count, stratify=labels, random_state=seed)
    except ValueError as error:
        names, counts = np.unique(labels, return_counts=True)
        least = f"{names[counts.argmin()]} with {counts.min()}" if len(names) else "none"
        raise UsageError(
            f"--split: {len(rows)} recordings cannot be divided so that each of the {len(names)} "
            f"labels is on both sides: one side would have {count}, and the rarest label is "
            f"{least}; give larger shares, fewer --labels or more recordings; or --split kfold:K, "
            "or none for a checkpoint without figures"
        ) from error
    return one, two


def by_speakers(
    speakers: Sequence[str], shares: Sequence[float], seed: int, split: str
) -> list[Mask]:
    """Sides without a common speaker, by numbers of speakers; each side has one at least."""
    names = sorted(set(speakers))
    if len(names) < 3:
        raise UsageError(f"--split {split}: found {len(names)} speakers, expected 3 or more")
    order = np.random.default_rng(seed).permutation(len(names))
    test = min(max(1, round(shares[2] * len(names))), len(names) - 2)
    valid = min(max(1, round(shares[1] * len(names))), len(names) - test - 1)
    parts = [order[test + valid :], order[test : test + valid], order[:test]]
    return [np.isin(speakers, [names[i] for i in part]) for part in parts]


def k_folds(
    groups: Sequence[str], k: int, seed: int, split: str, labels: Sequence[str] | None = None
) -> Iterator[Mask]:
    """Test sides of a cross-validation, over groups; stratified when labels are given."""
    firsts, members = _groups(groups)
    if not 2 <= k <= len(firsts):
        raise UsageError(f"--split {split}: expected a number of folds from 2 to {len(firsts)}")
    if labels is None:
        folds = KFold(k, shuffle=True, random_state=seed).split(firsts)
    else:
        of = np.array(labels)[firsts]
        counts = np.unique(of, return_counts=True)
        if counts[1].min() < k:
            name = counts[0][counts[1].argmin()]
            raise UsageError(
                f"--split {split}: label {name} has {counts[1].min()} recordings, fewer than folds"
            )
        folds = StratifiedKFold(k, shuffle=True, random_state=seed).split(firsts, of)
    for _, test in folds:
        yield np.isin(members, test)


def carve_valid(
    rest: Mask,
    labels: Sequence[str],
    groups: Sequence[str],
    share: float,
    seed: int,
    *,
    whole_groups: bool,
) -> Mask:
    """A valid side out of `rest`: whole groups (speakers) or a stratified share of recordings.

    It is empty with a share of 0.
    """
    rows = np.flatnonzero(rest)
    names = np.array(groups)[rows]
    valid = np.zeros(len(rest), np.bool_)
    if not share:
        return valid
    if whole_groups:
        known = np.unique(names)
        if len(known) < 2:
            raise UsageError("--split: one speaker is left to train on, expected two or more")
        count = min(max(1, round(share * len(known))), len(known) - 1)
        chosen = np.random.default_rng(seed).permutation(len(known))[:count]
        valid[rows[np.isin(names, known[chosen])]] = True
        return valid
    firsts, members = _groups(list(names))
    of = np.array(labels)[rows][firsts]
    _, held = _stratified_two(np.arange(len(firsts)), of, share, seed)
    valid[rows[np.isin(members, held)]] = True
    return valid


def _groups(groups: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first member of each group in order of appearance, and each member's group number."""
    _, firsts, members = np.unique(np.array(groups), return_index=True, return_inverse=True)
    order = np.argsort(firsts)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return firsts[order], rank[members]
