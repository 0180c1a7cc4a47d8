"""Adaptation of labelled recordings to their groups: what `run --adapt` does, to be measured."""

from collections.abc import Sequence
from dataclasses import dataclass

from batch_ser.errors import UsageError
from batch_ser.groups import ARCHIVE, NONE, Scored, Sums, add_sums, group_of
from models.scoring import Checkpoint, Embeddings, Probabilities
from train.utterances import Utterance

SPEAKER, CORPUS = "speaker", "corpus"
WAYS = (NONE, ARCHIVE, CORPUS, SPEAKER)


@dataclass(frozen=True)
class Adaptation:
    """By what recordings are grouped, and whether each group holds all labels about as often."""

    by: str
    balanced: bool = False

    def __post_init__(self) -> None:
        if self.by not in WAYS[1:]:
            raise UsageError(f"--adapt {self.by}: expected {', '.join(WAYS)}")

    def __call__(
        self,
        checkpoint: Checkpoint,
        utterances: Sequence[Utterance],
        embeddings: Embeddings,
        probabilities: Probabilities,
    ) -> Probabilities:
        """Probabilities (recordings, labels) in the light of each recording's group."""
        keys = [self._key(each) for each in utterances]
        scored, sums = Scored(embeddings, probabilities), dict[object, Sums]()
        add_sums(sums, keys, scored)
        group = group_of(sums, keys, scored)
        return checkpoint.adapt(embeddings, probabilities, group, self.balanced)

    def _key(self, utterance: Utterance) -> object:
        if self.by == SPEAKER:
            return (utterance.corpus, utterance.speaker) if utterance.speaker else None
        return utterance.corpus if self.by == CORPUS else ARCHIVE
