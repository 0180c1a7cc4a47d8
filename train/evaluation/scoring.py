"""Scoring labelled recordings with a checkpoint."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from batch_ser.audio import Samples
from models.batching import Embeddings, Probabilities, consecutive
from models.scoring import Checkpoint
from train.data import Utterance, load_utterance
from train.evaluation.adaptation import Adaptation
from train.evaluation.predictions import Predictions
from train.progress import every_s

AT_ONCE = 64  # recordings that are held in memory
Load = Callable[[Utterance, int], Samples]  # a recording's samples at a rate


def predict(
    checkpoint: Checkpoint,
    utterances: Sequence[Utterance],
    fold: str = "",
    load: Load = load_utterance,
    adapt: Adaptation | None = None,
) -> Predictions:
    """Score whole recordings (or given segments) as `run --segment whole` does.

    Another `load` changes the samples, to measure the effect. `adapt` is for heads with an offset;
    without it, the usual one and equal shares of all labels.
    """
    if checkpoint.has_offset or adapt:
        return predict_each(checkpoint, utterances, [adapt or Adaptation()], fold, load)[0]
    every = np.concatenate([scores for scores, _ in _scored(checkpoint, utterances, load)])
    return _predictions(checkpoint, utterances, every, fold)


def predict_each(
    checkpoint: Checkpoint,
    utterances: Sequence[Utterance],
    adaptations: Sequence[Adaptation],
    fold: str = "",
    load: Load = load_utterance,
) -> list[Predictions]:
    """The same by several adaptations, of a head with an offset; recordings are read once.

    Raises:
        CheckpointError: the head has no offset.
    """
    embeddings, durations_s = embed_utterances(checkpoint, utterances, load)
    return [
        _predictions(
            checkpoint,
            utterances,
            each.scores(checkpoint, utterances, embeddings, durations_s),
            fold,
        )
        for each in adaptations
    ]


def embed_utterances(
    checkpoint: Checkpoint, utterances: Sequence[Utterance], load: Load = load_utterance
) -> tuple[Embeddings, NDArray[np.float64]]:
    """Embeddings (n, width) of whole recordings or given segments, and their lengths in seconds.

    Raises:
        CheckpointError: the head has no offset.
    """
    checkpoint.check_offset()
    found = zip(*_scored(checkpoint, utterances, load), strict=True)
    embeddings, durations_s = map(np.concatenate, found)
    return embeddings, durations_s


def _predictions(
    checkpoint: Checkpoint, utterances: Sequence[Utterance], scores: Probabilities, fold: str
) -> Predictions:
    folds = (fold,) * len(utterances)
    return Predictions(tuple(utterances), checkpoint.info.labels, scores, folds)


def _scored(
    checkpoint: Checkpoint,
    utterances: Sequence[Utterance],
    load: Load,
) -> Iterator[tuple[Probabilities | Embeddings, NDArray[np.float64]]]:
    """Embeddings, or probabilities where the head has no offset, and lengths in seconds, of some
    recordings at a time.
    """
    rate_hz = checkpoint.info.rate_hz
    with tqdm(total=len(utterances), desc="scoring", mininterval=every_s()) as bar:
        for part in consecutive(len(utterances), AT_ONCE):
            some = utterances[part]
            samples = [load(each, rate_hz) for each in some]
            durations_s = np.array([len(each) for each in samples], np.float64) / rate_hz
            if checkpoint.has_offset:
                yield checkpoint.embed_all(samples), durations_s
            else:
                yield checkpoint.score_all(samples), durations_s
            bar.update(len(some))
