"""Made-up recordings of speakers and labels, and splits of them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from train.data.utterances import Utterance
from train.splits.sides import Fold
from train.splits.splits import Split, make_split

LABELS = ("neutral", "happy", "sad")


def said(speaker: str, label: str, take: int, corpus: str = "ravdess") -> Utterance:
    path = Path(f"{speaker}-{label}-{take}.wav")
    return Utterance(path, label, speaker, "", "en", corpus=corpus)


def corpus(speakers: int, labels: Sequence[str], name: str) -> list[Utterance]:
    """Every speaker says every label four times."""
    return [
        said(f"{name}-{speaker:02}", label, take, name)
        for speaker in range(1, speakers + 1)
        for label in labels
        for take in range(4)
    ]


def ordinary(count: int) -> list[Utterance]:
    """Ordinary speech of unknown speakers, and of one who is known."""
    name = "ordinary calls"
    return [
        replace(said(f"{name}-1" if take == 1 else "", "neutral", take, name), style="ordinary")
        for take in range(count)
    ]


RAVDESS = corpus(6, LABELS, "ravdess")
BOTH = RAVDESS + corpus(4, ("happy", "bored", "sad"), "tess")


def split(
    text: str,
    utterances: Sequence[Utterance],
    seed: int = 0,
    contents: Sequence[str] = (),
    allow_leak: bool = False,
) -> Split:
    copies = contents or [each.name for each in utterances]
    return make_split(text, utterances, copies, seed, 0.2, allow_leak)


def masks(fold: Fold) -> tuple[np.ndarray, ...]:
    return fold.train, fold.valid, fold.test


def same(one: Split, other: Split) -> bool:
    pairs = zip(one.folds, other.folds, strict=True)
    return all(np.array_equal(masks(a), masks(b)) for a, b in pairs)


def of(values: Sequence[str], mask: np.ndarray) -> set[str]:
    return {value for value, chosen in zip(values, mask, strict=True) if chosen}


WITH_ORDINARY = [*ordinary(9)[:5], *BOTH, *ordinary(9)[5:]]
ORDINARY_ROWS = np.array([each.is_ordinary for each in WITH_ORDINARY])
