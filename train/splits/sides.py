"""A fold's three sides, and how its valid side is made out of what it does not test."""

from collections.abc import Sequence
from dataclasses import dataclass

from batch_ser.errors import UsageError
from train.data import Utterance, in_order
from train.splits.divide import Mask, carve_valid


@dataclass(frozen=True)
class Fold:
    """One division; the masks (recordings,) may leave out recordings (labels not shared)."""

    name: str
    train: Mask
    valid: Mask
    test: Mask
    independent: bool  # no speaker of the test side is in train or valid

    def labels(self, utterances: Sequence[Utterance]) -> tuple[str, ...]:
        """The labels of its training side, in the shared order."""
        return in_order(
            each.label
            for each, in_train in zip(utterances, self.train, strict=True)
            if in_train and not each.is_ordinary
        )


@dataclass(frozen=True)
class Division:
    """Recordings to divide into folds, and how."""

    utterances: Sequence[Utterance]
    groups: Sequence[str]  # recordings of one group stay together
    seed: int
    valid_share: float
    text: str
    ordinary: Sequence[Utterance] = ()  # on the train side of every fold; no maker divides them

    @property
    def labels(self) -> list[str]:
        return [each.label for each in self.utterances]

    @property
    def speakers(self) -> list[str]:
        """Speakers by name.

        Raises:
            UsageError: of some recordings the speaker is not known.
        """
        unknown = [each.name for each in self.utterances if not each.speaker]
        if unknown:
            raise UsageError(
                f"--split {self.text}: the speaker of {len(unknown)} recordings is not known "
                f"(such as {unknown[0]}); give a manifest with a column speaker, or --split random"
            )
        return [each.speaker for each in self.utterances]

    def sided(
        self,
        name: str,
        test: Mask,
        *,
        independent: bool,
        pool: Mask | None = None,
        unseen_speakers: bool = False,
    ) -> Fold:
        """A fold from its test side: a part of the rest becomes the valid side.

        The valid side has speakers of its own where the test side has, or a part of it
        (`unseen_speakers`): it stops and calibrates the training for such speakers.
        """
        rest = ~test if pool is None else pool & ~test
        names = {each.speaker for each in self.utterances}
        # without names, corpora alone can be independent of each other
        by_speaker = (independent or unseen_speakers) and "" not in names
        valid = carve_valid(
            rest,
            self.labels,
            self.speakers if by_speaker else self.groups,
            self.valid_share,
            self.seed,
            whole_groups=by_speaker,
        )
        return Fold(name, rest & ~valid, valid, test, independent)
