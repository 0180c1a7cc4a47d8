"""Which recordings are held out: the folds of the EmoBox benchmark."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from train.corpora import Utterance

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fold:
    """One division: `test` (recordings,) is True where a recording is held out."""

    name: str
    test: Mask


def shared_folder() -> Path:
    """Where corpora, weights and folds lie: BATCH_SER_SHARED, by default ../shared."""
    return Path(os.environ.get("BATCH_SER_SHARED", "../shared"))


def read_folds(split: str, corpus: str, utterances: Sequence[Utterance]) -> list[Fold]:
    """The folds that `--split` names: `emobox:FILE` all, `emobox:FILE:FOLD` one, `none` none.

    Raises:
        UsageError: an unknown split, no such file, corpus or fold, or a speaker on both sides.
    """
    if split == "none":
        return []
    kind, _, rest = split.partition(":")
    if kind != "emobox" or not rest:
        raise UsageError(f"--split {split}: expected emobox:FILE, emobox:FILE:FOLD or none")
    file, _, number = rest.rpartition(":") if rest.rpartition(":")[2].isdigit() else (rest, "", "")
    entries = _emobox(Path(file), corpus)
    if number and not 1 <= int(number) <= len(entries):
        raise UsageError(f"--split {split}: fold {number}, expected 1 to {len(entries)}")
    chosen = [int(number)] if number else range(1, len(entries) + 1)
    return [_fold(f"fold {n}", entries[n - 1], utterances) for n in chosen]


def default_split() -> str:
    """EmoBox's folds in the shared folder.

    Raises:
        UsageError: they are not there.
    """
    path = shared_folder() / "benchmarks" / "emobox_folds.json"
    if not path.is_file():
        raise UsageError(
            f"there are no folds at {path}: set BATCH_SER_SHARED, or give --split emobox:FILE, "
            "or --split none to train without held-out figures"
        )
    return f"emobox:{path}"


def _emobox(path: Path, corpus: str) -> list[dict[str, Any]]:
    try:
        content = json.loads(path.read_text())
        folds: list[dict[str, Any]] = content[corpus]["folds"]
    except OSError as error:
        raise UsageError(f"--split: {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"--split: {path} holds no folds of {corpus}") from error
    return folds


def _fold(name: str, entry: dict[str, Any], utterances: Sequence[Utterance]) -> Fold:
    """A fold by its test actors (speaker-independent) or by the names of its test recordings."""
    if "test_actors" in entry:
        actors = {int(actor) for actor in entry["test_actors"]}
        test = np.array([int(each.speaker.rpartition("-")[2]) in actors for each in utterances])
    else:
        names = set(entry["test"])
        test = np.array([each.key in names for each in utterances])
    if test.all() or not test.any():
        raise UsageError(
            f"--split {name}: {int(test.sum())} of {len(test)} recordings are held out; "
            "the data and the folds do not belong together"
        )
    return Fold(name, test)
