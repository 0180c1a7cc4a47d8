"""Published folds, and where the shared folder with corpora, weights and folds lies."""

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from batch_ser.errors import UsageError
from train.data import Utterance
from train.splits.divide import Mask


def shared_folder() -> Path:
    """Where corpora, weights and folds lie: BATCH_SER_SHARED, by default ../shared."""
    return Path(os.environ.get("BATCH_SER_SHARED", "../shared"))


def emobox_folds(
    utterances: Sequence[Utterance], rest: str, text: str
) -> Iterator[tuple[str, Mask, Mask | None, list[bool]]]:
    """EmoBox's folds of `FILE` or `FILE:FOLD`: name, test side, which recordings count, and of
    each corpus whether the benchmark keeps its speakers apart.

    One corpus: all its folds. Several: each has one side, as if it were one (its first fold, or
    the numbered one where it has more), so that one training can hold them all out.

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
        mine = [folds[min(n, len(folds)) - 1] for folds in entries.values()]
        if test.all() or not test.any():
            raise UsageError(
                f"--split {text}: in fold {n} {int(test.sum())} of {len(test)} recordings are held "
                "out; the data and the folds do not belong together"
            )
        yield (
            f"fold {n}",
            test,
            np.array([each.style == "speech" for each in utterances]),  # songs count nowhere
            ["test_actors" in each for each in mine],
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
    mine = [each.corpus == corpus and each.style == "speech" for each in utterances]
    return np.array(test, np.bool_) & np.array(mine, np.bool_)
