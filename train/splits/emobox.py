"""Folds of the EmoBox benchmark, and the shared folder with corpora, weights and folds."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from batch_ser.errors import UsageError
from train.data import Utterance
from train.splits.divide import Mask


def shared_folder() -> Path:
    """The folder of corpora, weights and folds: BATCH_SER_SHARED, by default ../shared."""
    return Path(os.environ.get("BATCH_SER_SHARED", "../shared"))


@dataclass(frozen=True)
class EmoBoxFold:
    """One fold of the benchmark, over all corpora of the data."""

    name: str
    test: Mask
    pool: Mask  # recordings that count at all: songs do not
    independent: list[bool]  # of each corpus: whether its fold is speaker-independent


def emobox_folds(utterances: Sequence[Utterance], rest: str, text: str) -> Iterator[EmoBoxFold]:
    """EmoBox's folds of `FILE` or `FILE:FOLD`.

    One corpus: all its folds. Several: each has one test side, as if it were one (its first fold,
    or the numbered one where it has more), so that one training can hold them all out.

    Raises:
        UsageError: no such file, corpus or fold, or data that do not belong to them.
    """
    file, _, number = rest.rpartition(":") if rest.rpartition(":")[2].isdigit() else (rest, "", "")
    corpora = sorted({each.corpus for each in utterances})
    entries = {corpus: _entries(Path(file), corpus, text) for corpus in corpora}
    most = max(len(each) for each in entries.values())
    if number and not 1 <= int(number) <= most:
        raise UsageError(f"--split {text}: fold {number}, expected 1 to {most}")
    for n in [int(number)] if number else range(1, most + 1):
        test = np.zeros(len(utterances), np.bool_)
        for corpus, folds in entries.items():
            test |= _test_side(folds[min(n, len(folds)) - 1], corpus, utterances)
        chosen = [folds[min(n, len(folds)) - 1] for folds in entries.values()]
        if test.all() or not test.any():
            raise UsageError(
                f"--split {text}: in fold {n} {int(test.sum())} of {len(test)} recordings are held "
                "out; the data and the folds do not belong together"
            )
        yield EmoBoxFold(
            name=f"fold {n}",
            test=test,
            pool=np.array([each.style == "speech" for each in utterances]),
            independent=["test_actors" in each for each in chosen],
        )


def _entries(path: Path, corpus: str, text: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text())
        folds: list[dict[str, Any]] = content[corpus]["folds"]
    except OSError as error:
        raise UsageError(f"--split: {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--split {text}: {path} holds no folds of {corpus}") from error
    return folds


def _test_side(entry: dict[str, Any], corpus: str, utterances: Sequence[Utterance]) -> Mask:
    """A fold by its test actors (speaker-independent) or by the names of its test recordings."""
    if "test_actors" in entry:
        speakers = {f"{corpus}-{int(actor):02}" for actor in entry["test_actors"]}
        test = [each.speaker in speakers for each in utterances]
    else:
        names = set(entry["test"])
        test = [each.key in names for each in utterances]
    own = [each.corpus == corpus and each.style == "speech" for each in utterances]
    return np.array(test, np.bool_) & np.array(own, np.bool_)
