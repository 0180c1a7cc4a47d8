"""Adaptation on labelled recordings: what `run --adapt` does, for measurements."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from batch_ser.errors import UsageError
from batch_ser.results import ARCHIVE, NONE, UNSPLIT, GroupSums, rows_by_key
from models.batching import Embeddings, Probabilities
from models.expectation import BALANCED
from models.offsets import ArchiveOffsets
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

    @property
    def title(self) -> str:
        """As the options of `evaluate`."""
        return f"--adapt {self.by} --expect {self.expect}"

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
        found = np.zeros((len(utterances), len(checkpoint.info.labels)), np.float32)
        archives = [ARCHIVE if self.by == ARCHIVE else each.corpus for each in utterances]
        for rows in rows_by_key(archives).values():
            by_speaker = self.by == SPEAKER
            speakers = [utterances[row].speaker if by_speaker else "" for row in rows]
            found[rows] = self._of_archive(
                checkpoint, speakers, embeddings[rows], durations_s[rows]
            )
        return found

    def _of_archive(
        self,
        checkpoint: Checkpoint,
        speakers: Sequence[str],
        embeddings: Embeddings,
        durations_s: NDArray[np.float64],
    ) -> Probabilities:
        """Those of one archive; recordings without a speaker have its offset."""
        values, recordings = embeddings.astype(np.float64), np.arange(len(embeddings))
        whole, parts = GroupSums(), GroupSums()
        whole.add([ARCHIVE] * len(values), recordings, values)
        parts.add([speaker or None for speaker in speakers], recordings, values)
        head, shares = checkpoint.head, checkpoint.expectation(self.expect).offset
        offsets = ArchiveOffsets.estimated(head, whole, shares)
        found = np.zeros((len(values), len(checkpoint.info.labels)), np.float32)
        for speaker, rows in rows_by_key(speakers).items():
            offset = offsets.of(UNSPLIT)
            if speaker:
                offset = offsets.of_part(head, UNSPLIT, parts.sums[speaker], shares)
            found[rows] = checkpoint.score_embeddings(
                embeddings[rows], durations_s[rows], offset, self.expect
            )
        return found
