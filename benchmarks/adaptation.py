"""What adaptation gains, and what it costs where groups are small or of one emotion.

Called by `accuracy.py`. Everybody who is judged was held out; groups are those that a job would
know: a speaker, or the whole corpus.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
from held_out import EVERY, WORK
from numpy.typing import NDArray

from batch_ser.groups import Group
from models import Checkpoint, load_checkpoint
from train.adaptation import CORPUS, SPEAKER, Adaptation
from train.data import read
from train.evaluation import Predictions, measure
from train.folder import CHECKPOINT, fold_folders
from train.metrics import scores
from train.splits import Split, make_split
from train.store import load_utterance
from train.utterances import Utterance

SIZES = (1, 3, 10, 60)
GROUPS = 20  # of each kind and size, for each speaker
MIXED, NEUTRAL, ONE = "all emotions alike", "nine tenths neutral", "one emotion throughout"
WAYS = {
    "none": None,
    "by archive": Adaptation(CORPUS),
    "by archive, balanced": Adaptation(CORPUS, balanced=True),
    "by speaker": Adaptation(SPEAKER),
    "by speaker, balanced": Adaptation(SPEAKER, balanced=True),
}
BY_SPEAKER = ("by speaker", "by speaker, balanced")
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Heard:
    """What a checkpoint hears in recordings that it never trained on."""

    checkpoint: Checkpoint
    utterances: tuple[Utterance, ...]
    embeddings: Floats
    probabilities: Floats
    name: str

    def adapted(self, way: Adaptation | None) -> Predictions:
        """Its predictions, adapted or as they are."""
        found = self.probabilities
        if way:
            found = way(self.checkpoint, self.utterances, self.embeddings, found)
        labels = self.checkpoint.info.labels
        return Predictions(self.utterances, labels, found, (self.name,) * len(found))


def heard_in(folder: Path, only: str | None = None) -> Iterator[Heard]:
    """Every fold of a training on its test side, one corpus at a time (or `only` one of them); kept
    in `.evaluate/`.
    """
    data = read(EVERY, None)
    saved = f"saved:{folder / 'split.json'}"
    split: Split = make_split(saved, data.utterances, data.contents, 0, 0.1)
    for fold, place in zip(split.folds, fold_folders(folder, split.names), strict=True):
        checkpoint = load_checkpoint(place / CHECKPOINT)
        test = data.chosen(list(np.flatnonzero(fold.test)))
        for corpus in [only] if only else dict.fromkeys(each.corpus for each in test):
            mine = tuple(each for each in test if each.corpus == corpus)
            yield Heard(checkpoint, mine, *_heard(checkpoint, mine, corpus), fold.name)


def _heard(checkpoint: Checkpoint, mine: tuple[Utterance, ...], corpus: str) -> list[Floats]:
    kept = WORK / "heard" / f"{checkpoint.digest[:12]}-{corpus}.npz"
    if not kept.exists():
        rate_hz = checkpoint.info.rate_hz
        recordings = [load_utterance(each, rate_hz) for each in mine]
        probabilities, embeddings = checkpoint.score_and_embed_all(recordings)
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez(kept, embeddings=embeddings, probabilities=probabilities)
    found = np.load(kept)
    return [found["embeddings"], found["probabilities"]]


def uar(predictions: Predictions) -> float:
    """In percent, among the labels that a corpus has."""
    return 100 * predictions.shared().scores()["UAR"]


def gains(found: list[Heard]) -> dict[str, float]:
    """UAR of each way of adapting, the mean over checkpoints."""
    return {
        name: float(np.mean([uar(each.adapted(way)) for each in found]))
        for name, way in WAYS.items()
    }


def calibration_error(found: list[Heard], way: str) -> float:
    """Of predictions adapted in one of `WAYS`."""
    every = [each.adapted(WAYS[way]).shared() for each in found]
    together = reduce(add, every)
    figures = measure(together, together)
    return float(figures["headline"]["calibration_error"]["value"])


def unbalanced(found: list[Heard]) -> dict[tuple[str, int], tuple[float, float]]:
    """UAR (recall, of a single emotion) of `none` and of the default adaptation in groups that a
    speaker's recordings are drawn into, by kind and size.
    """
    told = {}
    for kind in (MIXED, NEUTRAL, ONE):
        for size in SIZES:
            draw = np.random.default_rng(size)
            truth: list[str] = []
            said: dict[bool, list[str]] = {False: [], True: []}
            for each in found:
                labels = np.array(each.checkpoint.info.labels)
                for rows in _groups(each, kind, size, draw):
                    truth += [each.utterances[row].label for row in rows]
                    for adapted in (False, True):
                        best = _of_group(each, rows, adapted).argmax(1)
                        said[adapted] += labels[best].tolist()
            values = [100 * scores(truth, said[adapted])["UAR"] for adapted in (False, True)]
            told[kind, size] = (values[0], values[1])
    return told


def _of_group(heard: Heard, rows: NDArray[np.int64], adapted: bool) -> Floats:
    """Probabilities of recordings that are one group, and all of it."""
    embeddings, probabilities = heard.embeddings[rows], heard.probabilities[rows]
    if not adapted:
        return probabilities
    variances = embeddings.astype(np.float64).var(0, ddof=min(1, len(rows) - 1))
    whole = Group(
        np.full(len(rows), float(len(rows))),
        np.repeat(embeddings.mean(0, keepdims=True), len(rows), 0).astype(np.float64),
        np.repeat(variances[None], len(rows), 0),
        np.repeat(probabilities.mean(0, keepdims=True), len(rows), 0).astype(np.float64),
    )
    return heard.checkpoint.adapt(embeddings, probabilities, whole)


def _groups(
    heard: Heard, kind: str, size: int, draw: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Groups of a speaker's recordings; where there are too few of a kind, some come twice."""
    speakers = np.array([each.speaker for each in heard.utterances])
    labels = np.array([each.label for each in heard.utterances])
    calm = np.isin(labels, ("neutral", "calm"))
    for speaker in np.unique(speakers):
        mine = np.flatnonzero(speakers == speaker)
        each = [mine[labels[mine] == label] for label in np.unique(labels[mine])]
        for _ in range(GROUPS):
            if kind == MIXED:
                some = [draw.choice(each[n]) for n in draw.integers(len(each), size=size)]
                yield np.array(some)
            elif kind == NEUTRAL:
                few = int(draw.binomial(size, 0.1))
                some = [*draw.choice(mine[calm[mine]], size - few),
                        *draw.choice(mine[~calm[mine]], few)]  # fmt: skip
                yield np.array(some, np.int64)
            else:
                yield draw.choice(each[int(draw.integers(len(each)))], size)
