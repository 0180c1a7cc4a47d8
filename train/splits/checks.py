"""What makes a fold useless: empty sides, labels that do not match, and leaks between its sides."""

from collections.abc import Sequence

import numpy as np

from batch_ser.errors import UsageError
from train.data import Utterance
from train.splits.sides import Division, Fold


def check_sides(fold: Fold, data: Division) -> None:
    """Refuse sides that are empty, or whose labels are not those of train.

    Raises:
        UsageError: it has some.
    """
    sides = {"train": fold.train, "valid": fold.valid, "test": fold.test}
    for side, mask in sides.items():
        needed = side != "valid" or data.valid_share > 0
        if needed and not mask.any():
            raise UsageError(f"--split {data.text}: {fold.name} has no recordings in {side}")
    labels = np.array(data.labels)
    trained = set(labels[fold.train])
    if len(trained) < 2:
        raise UsageError(
            f"--split {data.text}: all recordings that {fold.name} trains on are labelled "
            f"{trained.pop()}; expected two labels or more"
        )
    if fold.valid.any() and not np.isin(labels[fold.valid], labels[fold.train]).any():
        raise UsageError(
            f"--split {data.text}: the valid side of {fold.name} has recordings labelled "
            f"{', '.join(sorted(set(labels[fold.valid])))}, which no recording in train is; "
            "give another --seed or split"
        )
    if not np.isin(labels[fold.test], labels[fold.train]).any():
        raise UsageError(
            f"--split {data.text}: {fold.name} is tested on {', '.join(set(labels[fold.test]))}, "
            "which no recording in train is labelled; take it out with --labels"
        )


def check_apart(
    fold: Fold, utterances: Sequence[Utterance], text: str, contents: Sequence[str]
) -> None:
    """Refuse speakers and copies on both sides, which would make the figures too good.

    Without `contents` copies are not looked for.

    Raises:
        UsageError: there are some.
    """
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
