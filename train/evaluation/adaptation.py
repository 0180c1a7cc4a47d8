"""Adaptation on labelled recordings: what `run --adapt` does, for measurements."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from batch_ser.results import ARCHIVE, NONE, GroupSums, Key, rows_by_key
from models.batching import Embeddings, Probabilities
from models.expectation import BALANCED
from models.offset_head import Offset, OffsetHead
from models.scoring import Checkpoint
from train.data import Utterance

SPEAKER, CORPUS = "speaker", "corpus"
WAYS = (NONE, ARCHIVE, CORPUS, SPEAKER)


@dataclass(frozen=True)
class Adaptation:
    """Whose offset is subtracted, and the expected mixture of labels.

    `archive` takes all recordings together, `corpus` each corpus, `speaker` each speaker on top of
    the corpus; `expect` is that of `--expect`.
    """

    by: str = NONE
    expect: str = BALANCED

    def __post_init__(self) -> None:
        if self.by not in WAYS:
            raise UsageError(f"--adapt {self.by}: expected {', '.join(WAYS)}")

    def scores(
        self,
        checkpoint: Checkpoint,
        utterances: Sequence[Utterance],
        embeddings: Embeddings,
        durations_s: NDArray[np.float64],
    ) -> Probabilities:
        """Probabilities (recordings, labels) of a checkpoint with an offset head."""
        if self.by == NONE:
            return checkpoint.score_embeddings(embeddings, durations_s, None, self.expect)
        shares = checkpoint.expectation(self.expect).offset
        corpora = [ARCHIVE if self.by == ARCHIVE else each.corpus for each in utterances]
        speakers = [self._speaker(each) for each in utterances]
        values = embeddings.astype(np.float64)
        offsets = _offsets(checkpoint.head, corpora, speakers, values, shares)
        found = np.zeros((len(utterances), len(checkpoint.info.labels)), np.float32)
        for key, rows in rows_by_key(zip(corpora, speakers, strict=True)).items():
            found[rows] = checkpoint.score_embeddings(
                embeddings[rows], durations_s[rows], offsets[key], self.expect
            )
        return found

    def _speaker(self, utterance: Utterance) -> str:
        """The speaker whose offset is subtracted; empty: that of the corpus or archive is."""
        return utterance.speaker if self.by == SPEAKER else ""


def _offsets(
    head: OffsetHead,
    corpora: Sequence[str],
    speakers: Sequence[str],
    values: NDArray[np.float64],
    shares: NDArray[np.float64],
) -> dict[Key | None, Offset]:
    """By corpus and speaker; without a speaker, the corpus's own."""
    whole, parts = GroupSums(), GroupSums()
    recordings = np.arange(len(values))
    keys = list(zip(corpora, speakers, strict=True))
    whole.add(corpora, recordings, values)
    parts.add(keys, recordings, values)
    usual = head.usual_offset()
    archives = {
        key: head.estimate("archive", usual, sums, shares) for key, sums in whole.sums.items()
    }
    return {
        (corpus, speaker): head.estimate(
            "speaker", archives[corpus], parts.sums[corpus, speaker], shares
        )
        if speaker
        else archives[corpus]
        for corpus, speaker in dict.fromkeys(keys)
    }
